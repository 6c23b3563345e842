"""How an operator changes users from the command line, and reads how they stand."""

from typing import NamedTuple

from producers.operators import operator
from runtime.journal.outbound import partition_of
from runtime.kafka_log import KafkaLog
from runtime.recorded import event_of
from runtime.replay import Bound, Selection, ends, replay
from runtime.settings import Settings
from schemas.codec import Message
from schemas.envelope import CE_TYPE, header_map
from schemas.identity import (
    EVENTS,
    CommandRefused,
    RoleChanged,
    SessionEnded,
    SessionRefreshed,
    SessionStarted,
    User,
    UserErased,
    UserLocked,
    UserRegistered,
    UserUnlocked,
)
from schemas.identity import ProfileUpdated as Updated
from schemas.topics import IDENTITY, IDENTITY_JOURNAL

_Change = UserRegistered | Updated | RoleChanged | UserLocked | UserUnlocked
_Session = SessionStarted | SessionRefreshed | SessionEnded
_SHOWN = tuple(each.TYPE for each in (*_Change.__args__, UserErased, *_Session.__args__))


class Standing(NamedTuple):
    """A user as the journal has it, and when the sessions that were not ended expire (ms)."""

    user: User
    sessions: dict[str, int]


async def change(settings: Settings, username_hmac: str, command: Message) -> User | None:
    """Have the command decided; the user after it, None when there is none.

    Raises:
        Unavailable: the broker or identity did not answer in time; asking again does no harm.
    """
    async with operator(settings, IDENTITY) as asking:
        record = await asking.decided_for(username_hmac, command)
    event_type = header_map(record.headers)[CE_TYPE].decode()
    match event_of(EVENTS, event_type, record.value or b""):
        case RoleChanged(user=user) | UserLocked(user=user) | UserUnlocked(user=user):
            return user
        case CommandRefused():
            return None
        case other:
            raise ValueError(f"identity answered {other.TYPE}")


async def standing(settings: Settings, username_hmac: str) -> Standing | None:
    """How a user stands by all of the user's journal partition; None when there is none.

    Raises:
        Unavailable: the broker does not answer.
    """
    log = await KafkaLog.open(settings)
    try:
        partition = partition_of(username_hmac, await log.partitions(IDENTITY_JOURNAL))
        start = Bound(offset=0, partition=partition)
        selection = Selection(start, types=_SHOWN, entity_id=f"user:{username_hmac}")
        until = await ends(log, IDENTITY_JOURNAL, selection)
        lines = replay(log, selection, until)
        return _folded([EVENTS.decode(line.type, bytes(line.data)) async for line in lines])
    finally:
        await log.close()


def _folded(events: list[Message]) -> Standing | None:
    user: User | None = None
    sessions: dict[str, int] = {}
    for event in events:
        match event:
            case SessionStarted() | SessionRefreshed():
                sessions[event.session_id] = event.expires_at_ms
            case SessionEnded():
                sessions.pop(event.session_id, None)
            case UserErased():
                user = None
            case _ if isinstance(event, _Change):
                user = event.user
            case _:
                pass
    return None if user is None else Standing(user, sessions)
