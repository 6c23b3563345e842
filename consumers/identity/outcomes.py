"""What commands of identity lead to, and the refusal of those that it cannot follow."""

from schemas.codec import Message
from schemas.identity import (
    ChangeRole,
    CommandRefused,
    DeleteApiKey,
    EndSession,
    EraseUser,
    LockUser,
    MakeApiKey,
    Reason,
    UnlockUser,
    UpdateProfile,
)

Events = tuple[Message, ...]


def refused(
    command: UpdateProfile
    | EndSession
    | MakeApiKey
    | DeleteApiKey
    | ChangeRole
    | LockUser
    | UnlockUser
    | EraseUser,
    reason: Reason,
) -> CommandRefused:
    """Who asked learns why nothing changed."""
    return CommandRefused(username_hmac=command.username_hmac, command=command.TYPE, reason=reason)
