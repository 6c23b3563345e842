"""Keys of the commands table: one row per client command that came to its end."""

from typing import Final

from runtime.projection import TableSpec

COMMANDS: Final = TableSpec("commands", "command_id")
TABLES: Final = (COMMANDS,)
