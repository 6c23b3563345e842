"""Keys of the commands table: one row per client command that came to its end."""

from typing import Final, Literal

import msgspec

from runtime.projection import TableSpec

COMMANDS: Final = TableSpec("commands", "command_id")
TABLES: Final = (COMMANDS,)


def expired(command_id: str) -> str:
    """The key under which the expiry of a command lies, apart from its decision."""
    return f"{command_id}/expired"


class Ended(msgspec.Struct, frozen=True, gc=False):
    """All that a row says, in one text: nothing is searched for, and each attribute costs CPU."""

    status: Literal["succeeded", "refused"]
    event_type: str
    body: msgspec.Raw
    entity_id: str
    user_id: str | None
    version: int
    decided_at_ms: int
    journal: str
