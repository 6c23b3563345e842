"""What the gateway may ask about client commands."""

from typing import Final, Literal, NamedTuple

import msgspec

from read_models.commands.projection import CONCERNS
from read_models.commands.table import COMMANDS, TABLES, Ended, expired
from runtime.table import Readable

__all__ = ["CONCERNS", "TABLES", "Outcome", "outcome"]


_DECODER: Final = msgspec.json.Decoder(Ended)


class Outcome(NamedTuple):
    """How a command ended; `body` is the JSON of the event, `version` its entity's then.

    `user_id` is whose command it was, None when nobody was signed in (a registration refused);
    `journal` is `<topic>/<partition>/<offset>`.
    """

    command_id: str
    status: Literal["succeeded", "refused"]
    event_type: str
    body: bytes
    entity_id: str
    user_id: str | None
    version: int
    decided_at_ms: int
    journal: str


async def outcome(table: Readable, command_id: str) -> Outcome | None:
    """The command's end; None while it has none as far as this read model knows.

    A decision counts before an expiry, which may be that of a late copy.
    """
    keys = [{"command_id": each} for each in (command_id, expired(command_id))]
    rows = await table.batch_get(COMMANDS.name, keys)
    row = next((each for each in rows if each is not None), None)
    if row is None:
        return None
    ended: Ended = _DECODER.decode(row["ended"])
    return Outcome(
        command_id=command_id,
        status=ended.status,
        event_type=ended.event_type,
        body=bytes(ended.body),
        entity_id=ended.entity_id,
        user_id=ended.user_id,
        version=ended.version,
        decided_at_ms=ended.decided_at_ms,
        journal=ended.journal,
    )
