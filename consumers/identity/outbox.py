"""What identity's events send to other partitions of identity; pure functions of one record."""

from collections.abc import Sequence

from runtime.journal.context import Outgoing
from schemas.codec import Message
from schemas.identity import (
    AddressReserved,
    ClaimEmail,
    EmailChangeStarted,
    EmailClaimed,
    EmailClaimReturned,
    EmailTaken,
    PasswordChanged,
    ProfileUpdated,
    RegistrationStarted,
    ReleaseEmail,
    ReserveUserSignIn,
    SessionStarted,
    SettleAddressSignIn,
    SettleEmailClaim,
    SignInFailed,
    User,
    UserSignInRefused,
)
from schemas.topics import IDENTITY_COMMANDS


def outbox(event: Message) -> Sequence[Outgoing]:  # noqa: PLR0911  # one line per event
    """The facts that follow from the event; a client's reply route travels along while it waits."""
    match event:
        case RegistrationStarted():
            return (_claim(event.user, event.user.user_id),)
        case EmailChangeStarted():
            return (_claim(event.user, event.request_id),)
        case EmailClaimed() | EmailTaken():
            return (_claim_settled(event),)
        case EmailClaimReturned():
            return (_release(event.email_hmac, event.user_id),)
        case ProfileUpdated() if event.released_email_hmac:
            return (_release(event.released_email_hmac, event.user.user_id),)
        case AddressReserved():
            return (_reserve_user(event),)
        case SessionStarted() | SignInFailed() | UserSignInRefused() | PasswordChanged():
            return (_settle_address(event),)
        case _:
            return ()


def _claim(user: User, request_id: str) -> Outgoing:
    message = ClaimEmail(
        email_hmac=user.email_hmac,
        user_id=user.user_id,
        username_hmac=user.username_hmac,
        request_id=request_id,
    )
    return Outgoing(IDENTITY_COMMANDS, user.email_hmac, message, carries_reply=True)


def _claim_settled(event: EmailClaimed | EmailTaken) -> Outgoing:
    message = SettleEmailClaim(
        username_hmac=event.username_hmac,
        email_hmac=event.email_hmac,
        user_id=event.user_id,
        request_id=event.request_id,
        granted=isinstance(event, EmailClaimed),
    )
    return Outgoing(IDENTITY_COMMANDS, event.username_hmac, message, carries_reply=True)


def _release(email_hmac: str, user_id: str) -> Outgoing:
    message = ReleaseEmail(email_hmac=email_hmac, user_id=user_id)
    return Outgoing(IDENTITY_COMMANDS, email_hmac, message)


def _reserve_user(event: AddressReserved) -> Outgoing:
    message = ReserveUserSignIn(
        address_hmac=event.address_hmac,
        username_hmac=event.username_hmac,
        attempt_id=event.attempt_id,
    )
    return Outgoing(IDENTITY_COMMANDS, event.username_hmac, message, carries_reply=True)


def _settle_address(
    event: SessionStarted | SignInFailed | UserSignInRefused | PasswordChanged,
) -> Outgoing:
    message = SettleAddressSignIn(
        address_hmac=event.address_hmac,
        attempt_id=event.attempt_id,
        wrong=isinstance(event, SignInFailed),
    )
    return Outgoing(IDENTITY_COMMANDS, event.address_hmac, message)
