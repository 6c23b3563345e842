"""What identity's events send to its other partitions and to the audit; pure functions."""

from collections.abc import Sequence
from typing import Final

from runtime.journal.context import Outgoing
from schemas.audit import Happened, SecurityEvent
from schemas.codec import Message
from schemas.envelope import Cause
from schemas.identity import (
    AddressReserved,
    ApiKeyDeleted,
    ApiKeyMade,
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
    RoleChanged,
    SessionEnd,
    SessionEnded,
    SessionStarted,
    SettleAddressSignIn,
    SettleEmailClaim,
    SignInFailed,
    SignInLocked,
    User,
    UserErased,
    UserLocked,
    UserSignInRefused,
    UserUnlocked,
)
from schemas.topics import IDENTITY_COMMANDS, SECURITY_AUDIT

_AUDITED: Final = {
    RoleChanged.TYPE: Happened.ROLE_CHANGED,
    UserLocked.TYPE: Happened.USER_LOCKED,
    UserUnlocked.TYPE: Happened.USER_UNLOCKED,
}


def outbox(event: Message, cause: Cause) -> Sequence[Outgoing]:  # noqa: C901, PLR0911, PLR0912  # one line per event
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
        case SessionStarted() | SignInFailed() | SignInLocked() | UserSignInRefused():
            return (_settle_address(event),)
        case PasswordChanged():
            return (_settle_address(event), _password_changed(event, cause))
        case SessionEnded():
            return (_session_ended(event, cause),)
        case ApiKeyMade():
            return (_api_key_made(event, cause),)
        case ApiKeyDeleted():
            return (_api_key_deleted(event, cause),)
        case RoleChanged() | UserLocked() | UserUnlocked():
            return (_operated(event, cause),)
        case UserErased():
            return (_release(event.email_hmac, event.user_id), _erased(event, cause))
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
    event: SessionStarted | SignInFailed | SignInLocked | UserSignInRefused | PasswordChanged,
) -> Outgoing:
    message = SettleAddressSignIn(
        address_hmac=event.address_hmac,
        attempt_id=event.attempt_id,
        wrong=isinstance(event, SignInFailed),
    )
    return Outgoing(IDENTITY_COMMANDS, event.address_hmac, message)


def _session_ended(event: SessionEnded, cause: Cause) -> Outgoing:
    is_reuse = event.reason is SessionEnd.REUSED
    happened = Happened.REFRESH_REUSED if is_reuse else Happened.SESSION_ENDED
    return _told(happened, event.username_hmac, cause, by=cause.user_id, detail=event.reason)


def _password_changed(event: PasswordChanged, cause: Cause) -> Outgoing:
    happened, user = Happened.PASSWORD_CHANGED, event.username_hmac
    return _told(happened, user, cause, address=event.address_hmac)


def _api_key_made(event: ApiKeyMade, cause: Cause) -> Outgoing:
    happened, user = Happened.API_KEY_MADE, event.username_hmac
    scopes, key = " ".join(event.scopes), event.api_key_id
    return _told(happened, user, cause, by=cause.user_id, detail=scopes, api_key=key)


def _api_key_deleted(event: ApiKeyDeleted, cause: Cause) -> Outgoing:
    happened, user = Happened.API_KEY_DELETED, event.username_hmac
    reason, key = event.reason, event.api_key_id
    return _told(happened, user, cause, by=cause.user_id, detail=reason, api_key=key)


def _operated(event: RoleChanged | UserLocked | UserUnlocked, cause: Cause) -> Outgoing:
    happened, user = _AUDITED[event.TYPE], event.user
    return _told(happened, user.username_hmac, cause, by=cause.user_id, detail=user.role)


def _erased(event: UserErased, cause: Cause) -> Outgoing:
    happened, user = Happened.USER_ERASED, event.username_hmac
    return _told(happened, user, cause, by=cause.user_id, detail=event.key_id)


def _told(happened: Happened, user: str, cause: Cause, **more: str | None) -> Outgoing:
    """What `security.audit` learns of a user; `more` are other fields of the event."""
    message = SecurityEvent(happened=happened, user=user, request_id=cause.correlation_id, **more)
    return Outgoing(SECURITY_AUDIT, user, message)
