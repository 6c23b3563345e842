"""Final outcomes of client commands as rows; what came before the end, and repeats, are none."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from read_models.commands.table import COMMANDS, TABLES, Ended, expired
from runtime.projection import TableSpec
from runtime.table import Change, Put, Row
from schemas import accounts, identity, journal
from schemas.accounts import Order
from schemas.codec import Codec, Message, encode
from schemas.envelope import Recorded
from schemas.topics import ACCOUNTS_JOURNAL, IDENTITY_JOURNAL

KEY_REUSED: Final = "idempotency-key-reused"
"""A refusal of another body under the id of a command whose own outcome stands."""

_Ended = (
    accounts.OrderFilled | accounts.OrderCanceled | accounts.OrderExpired | accounts.OrderRejected
)
_Simple = (
    accounts.FundsDeposited
    | accounts.FundsWithdrawn
    | accounts.CommandRefused
    | accounts.CancelAllRequested
    | accounts.OrderChecked
    | accounts.OrderReplaced
    | accounts.ReplaceRefused
    | identity.UserRegistered
    | identity.RegistrationRejected
    | identity.ProfileUpdated
    | identity.CommandRefused
    | identity.SessionEnded
    | identity.ApiKeyMade
    | identity.ApiKeyDeleted
    | identity.RoleChanged
    | identity.UserLocked
    | identity.UserUnlocked
    | identity.UserErased
    | journal.CommandRefused
    | journal.CommandDiscarded
)
_REFUSALS: Final = (
    accounts.CommandRefused,
    accounts.OrderRejected,
    accounts.ReplaceRefused,
    identity.RegistrationRejected,
    identity.CommandRefused,
    journal.CommandRefused,
    journal.CommandDiscarded,
)

CONCERNS: Final = frozenset(
    each.TYPE for each in (accounts.OrderAccepted, *_Ended.__args__, *_Simple.__args__)
)


class CommandsProjection:
    """One row per command, written once."""

    name = "commands"
    journals: Mapping[str, Codec] = {
        ACCOUNTS_JOURNAL: accounts.EVENTS,
        IDENTITY_JOURNAL: identity.EVENTS,
    }
    tables: Sequence[TableSpec] = TABLES
    concerns = CONCERNS

    def project(self, event: Message, recorded: Recorded) -> Sequence[Change]:
        """The rows of the commands that the event is the outcome of."""
        return tuple(
            Put(COMMANDS.name, _row(command_id, event, recorded))
            for command_id in _finished(event, recorded)
        )


def _finished(event: Message, recorded: Recorded) -> tuple[str, ...]:
    waiting = client_command(recorded)
    match event:
        case accounts.OrderAccepted(order=order):
            return () if order.ends_at_once else (order.command_id,)
        case journal.CommandRefused():
            return _refused(event)
        case _:
            pass
    if isinstance(event, _Ended):
        return _ended(event.order, waiting)
    return (waiting,) if waiting is not None and _is_outcome(event) else ()


def _is_outcome(event: Message) -> bool:
    """Whether it ends a command by itself, and does not only come along with another outcome."""
    match event:
        case accounts.CancelAllRequested():
            return event.next is None
        case identity.SessionEnded():
            return event.reason is identity.SessionEnd.SIGNED_OUT
        case identity.ApiKeyDeleted():
            return event.reason is identity.ApiKeyEnd.DELETED
        case _:
            return isinstance(event, _Simple)


def _refused(refusal: journal.CommandRefused) -> tuple[str, ...]:
    """A late copy of a decided command expires too, and must not overwrite what was decided."""
    if refusal.reason == KEY_REUSED:
        return ()
    return (expired(refusal.command_id),)


def _ended(order: Order, waiting: str | None) -> tuple[str, ...]:
    """The command that placed the order, unless acceptance answered it, and one that canceled."""
    is_first_answer = order.ends_at_once or not order.number
    placed = (order.command_id,) if is_first_answer else ()
    return placed if waiting in (None, order.command_id) else (*placed, waiting)


def client_command(recorded: Recorded) -> str | None:
    """The client's command behind a record, carried by the reply route through other contexts."""
    cause = recorded.cause
    if cause.reply_to is not None:
        return cause.reply_to.command_id
    return cause.command_id if cause.source is None else None


def _row(command_id: str, event: Message, recorded: Recorded) -> Row:
    ended = Ended(
        status="refused" if isinstance(event, _REFUSALS) else "succeeded",
        event_type=recorded.event_type,
        body=msgspec.Raw(encode(event)),
        entity_id=recorded.entity_id,
        user_id=_owner(event, recorded),
        version=recorded.entity_version,
        decided_at_ms=recorded.cause.time_ms,
        journal=f"{recorded.journal}/{recorded.partition}/{recorded.offset}",
    )
    return {"command_id": command_id, "ended": msgspec.json.encode(ended).decode()}


def _owner(event: Message, recorded: Recorded) -> str | None:
    match event:
        case identity.UserRegistered(user=user) | identity.ProfileUpdated(user=user):
            return user.user_id
        case (
            identity.SessionEnded(user_id=user_id)
            | identity.ApiKeyMade(user_id=user_id)
            | identity.ApiKeyDeleted(user_id=user_id)
        ):
            return user_id
        case _:
            return getattr(event, "account_id", None) or recorded.cause.user_id


PROJECTION: Final = CommandsProjection()
