"""What the gateway may ask about client commands."""

from typing import Literal, NamedTuple

from read_models.commands.projection import CONCERNS
from read_models.commands.table import COMMANDS, TABLES, expired
from runtime.table import Readable

__all__ = ["CONCERNS", "TABLES", "Outcome", "outcome"]


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
    return Outcome(
        command_id=command_id,
        status=row["status"],
        event_type=row["event_type"],
        body=row["body"].encode(),
        entity_id=row["entity_id"],
        user_id=row["user_id"],
        version=row["version"],
        decided_at_ms=row["time_ms"],
        journal=row["journal"],
    )
