"""How an operator erases a person: decided on the log, then made true by destroying a key.

The order of the steps is what makes a crash between any two of them harmless:

1. What the person leaves behind is looked at while nothing has happened yet.
2. Identity decides `user-erased`. From here on there is no such user: sessions end, name and email
   are free, read models forget; a command under way is refused. Were the key destroyed first, a
   crash would leave a user who exists and can neither sign in nor be read.
3. The key is destroyed, which may be done any number of times. The event names it, so whoever reads
   the journal can do that: this command when it is asked again, and auth, which tells the vault at
   every start (consumers/auth/tail.py).
4. Orders that were open are cancelled, by account, which has no name any more.

Asked again, every step is done again or found done. A user is named by id in the command, so that
a repeated erasure never meets who registered the name afterwards.
"""

import re
from typing import Final, NamedTuple

from producers.operators import operator
from read_models.portfolio.queries import holdings
from runtime.dynamodb import DynamoTable, open_dynamodb
from runtime.journal.outbound import partition_of
from runtime.kafka_log import KafkaLog
from runtime.recorded import event_of
from runtime.replay import Bound, Selection, ends, replay
from runtime.security.vault import Vault
from runtime.settings import Settings
from schemas.accounts import CancelAllOrders, Holding
from schemas.codec import Message
from schemas.envelope import CE_TYPE, header_map
from schemas.identity import EVENTS, CommandRefused, EraseUser, UserErased, UserRegistered
from schemas.topics import ACCOUNTS, IDENTITY, IDENTITY_JOURNAL

_USER_ID: Final = re.compile(r"[0-9a-f]{32}")
_TOLD: Final = (UserRegistered.TYPE, UserErased.TYPE)


class Found(NamedTuple):
    """A user by the journal, `key_id` of the vault; one that is erased keeps only pseudonyms."""

    user_id: str
    username_hmac: str
    key_id: str
    registered_ms: int
    is_erased: bool = False


def is_user_id(text: str) -> bool:
    """Whether this is a user's id: no username is as long."""
    return _USER_ID.fullmatch(text) is not None


async def find(
    settings: Settings, *, username_hmac: str | None = None, user_id: str | None = None
) -> Found | None:
    """The user with this id, or the last one who had this name; None when there never was one.

    An id is looked for in the whole journal, a name in its partition.

    Raises:
        Unavailable: the broker does not answer.
    """
    log = await KafkaLog.open(settings)
    try:
        start, entity = Bound(offset=0), None
        if username_hmac is not None:
            number = partition_of(username_hmac, await log.partitions(IDENTITY_JOURNAL))
            start, entity = Bound(offset=0, partition=number), f"user:{username_hmac}"
        selection = Selection(start, types=_TOLD, entity_id=entity)
        until = await ends(log, IDENTITY_JOURNAL, selection)
        lines = replay(log, selection, until)
        found = folded([EVENTS.decode(line.type, bytes(line.data)) async for line in lines])
    finally:
        await log.close()
    return found.get(user_id) if user_id is not None else next(reversed(found.values()), None)


def folded(events: list[Message]) -> dict[str, Found]:
    """Everybody who ever was, by id, in the order of their registrations."""
    found: dict[str, Found] = {}
    for event in events:
        match event:
            case UserRegistered(user=user):
                found[user.user_id] = Found(
                    user.user_id, user.username_hmac, user.profile.key_id, user.created_at_ms
                )
            case UserErased(user_id=user_id):
                found[user_id] = found[user_id]._replace(is_erased=True)
            case _:
                pass
    return found


async def left_behind(settings: Settings, user_id: str) -> tuple[Holding, ...]:
    """What the account still has, free or locked by open orders, as far as projected.

    Raises:
        Unavailable: the read model cannot be read.
    """
    async with open_dynamodb(settings) as client:
        rows = (await holdings(DynamoTable(client, settings), user_id)).rows
    return tuple(each.holding for each in rows if each.holding.free_e8 or each.holding.locked_e8)


async def decide(settings: Settings, found: Found) -> None:
    """Have identity forget the user, unless it did already (step 2).

    Raises:
        Unavailable: identity did not decide in time; asking again does no harm.
    """
    command = EraseUser(username_hmac=found.username_hmac, user_id=found.user_id)
    async with operator(settings, IDENTITY) as asking:
        record = await asking.decided_for(found.username_hmac, command)
    event_type = header_map(record.headers)[CE_TYPE].decode()
    match event_of(EVENTS, event_type, record.value or b""):
        case UserErased() | CommandRefused():
            return  # refused: no such user any more, and only an erasure does that
        case other:
            raise ValueError(f"identity answered {other.TYPE}")


async def destroy_key(settings: Settings, found: Found) -> None:
    """Make unreadable whatever was ever encrypted for the person (step 3).

    Raises:
        Unavailable: the vault does not answer.
    """
    async with open_dynamodb(settings) as client:
        await Vault(DynamoTable(client, settings)).destroy(found.key_id)


async def cancel_orders(settings: Settings, user_id: str) -> None:
    """Have all open orders of the account cancelled (step 4); returns when that has begun.

    Raises:
        Unavailable: accounts did not decide in time; asking again does no harm.
    """
    async with operator(settings, ACCOUNTS) as asking:
        await asking.decided_for(user_id, CancelAllOrders(account_id=user_id))
