"""Keys of the commands table: one row per client command that came to its end."""

from typing import Final

from runtime.projection import TableSpec

COMMANDS: Final = TableSpec("commands", "command_id")
TABLES: Final = (COMMANDS,)


def expired(command_id: str) -> str:
    """The key under which the expiry of a command lies, apart from its decision."""
    return f"{command_id}/expired"
