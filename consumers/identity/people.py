"""Who may have a name, an email, a profile: pure decisions."""

import msgspec

from consumers.identity.outcomes import Events, refused
from consumers.identity.state import Person, State
from schemas.envelope import Cause
from schemas.identity import (
    ClaimEmail,
    CommandRefused,
    EmailChangeStarted,
    EmailClaimed,
    EmailClaimReturned,
    EmailReleased,
    EmailTaken,
    ProfileUpdated,
    Reason,
    RegisterUser,
    RegistrationRejected,
    RegistrationStarted,
    ReleaseEmail,
    SettleEmailClaim,
    UpdateProfile,
    User,
    UserRegistered,
)


def register(person: Person, command: RegisterUser, cause: Cause) -> Events:
    """Hold the username while its email is claimed; meanwhile it is taken for everybody else."""
    if not person.is_nobody:
        return (
            RegistrationRejected(
                username_hmac=command.username_hmac,
                key_id=command.profile.key_id,
                reason=Reason.USERNAME_TAKEN,
            ),
        )
    return (RegistrationStarted(user=_new_user(command, cause)),)


def update(person: Person, command: UpdateProfile, cause: Cause) -> Events:
    """Change the profile; another email is claimed first, and the change waits for it."""
    if person.user is None:
        return (refused(command, Reason.UNKNOWN_USER),)
    if person.claim is not None:
        return (refused(command, Reason.EMAIL_CHANGE_PENDING),)
    if command.based_on != person.user.profile.nonce:
        return (refused(command, Reason.PROFILE_CHANGED),)
    user = msgspec.structs.replace(
        person.user,
        profile=command.profile,
        email_hmac=command.email_hmac,
        marketing_emails_consent=command.marketing_emails_consent,
        updated_at_ms=cause.time_ms,
    )
    if user.email_hmac == person.user.email_hmac:
        return (ProfileUpdated(user=user),)
    return (EmailChangeStarted(user=user, request_id=cause.new_id()),)


def claim_email(state: State, command: ClaimEmail) -> Events:
    """Idempotent per owner: who has the email is granted it again."""
    owner = state.emails.get(command.email_hmac)
    outcome = EmailClaimed if owner is None or owner.user_id == command.user_id else EmailTaken
    return (
        outcome(
            email_hmac=command.email_hmac,
            user_id=command.user_id,
            username_hmac=command.username_hmac,
            request_id=command.request_id,
        ),
    )


def settle_claim(person: Person, command: SettleEmailClaim, cause: Cause) -> Events:
    """The user exists, or the change counts, where the email was granted; neither where not."""
    claim = person.claim
    if claim is None or claim.request_id != command.request_id:
        return _return_claim(person, command)
    user = msgspec.structs.replace(claim.user, updated_at_ms=cause.time_ms)
    if person.user is None:
        return (_registered(user) if command.granted else _rejected(user),)
    if command.granted:
        user = msgspec.structs.replace(
            user,
            password_hash=person.user.password_hash,
            role=person.user.role,
            locked=person.user.locked,
        )
        return (ProfileUpdated(user=user, released_email_hmac=person.user.email_hmac),)
    return (
        CommandRefused(
            username_hmac=user.username_hmac,
            command=UpdateProfile.TYPE,
            reason=Reason.EMAIL_TAKEN,
            request_id=claim.request_id,
        ),
    )


def release_email(state: State, command: ReleaseEmail) -> Events:
    """Free the email, if it is still this user's."""
    owner = state.emails.get(command.email_hmac)
    if owner is None or owner.user_id != command.user_id:
        return ()
    return (EmailReleased(email_hmac=command.email_hmac, user_id=command.user_id),)


def _new_user(command: RegisterUser, cause: Cause) -> User:
    return User(
        user_id=cause.new_id(),
        username_hmac=command.username_hmac,
        email_hmac=command.email_hmac,
        profile=command.profile,
        password_hash=command.password_hash,
        marketing_emails_consent=command.marketing_emails_consent,
        created_at_ms=cause.time_ms,
        updated_at_ms=cause.time_ms,
    )


def _registered(user: User) -> UserRegistered:
    """The user exists from the moment that everything is granted."""
    return UserRegistered(user=msgspec.structs.replace(user, created_at_ms=user.updated_at_ms))


def _rejected(user: User) -> RegistrationRejected:
    return RegistrationRejected(
        username_hmac=user.username_hmac,
        key_id=user.profile.key_id,
        reason=Reason.EMAIL_TAKEN,
    )


def _return_claim(person: Person, command: SettleEmailClaim) -> Events:
    """Nobody waits for this answer: an email granted to no purpose goes back."""
    user = person.user
    holds = user is not None and (user.user_id, user.email_hmac) == (
        command.user_id,
        command.email_hmac,
    )
    if holds or not command.granted:
        return ()
    return (
        EmailClaimReturned(
            username_hmac=command.username_hmac,
            email_hmac=command.email_hmac,
            user_id=command.user_id,
        ),
    )
