"""The table of users, by user id."""

from typing import Final

from runtime.projection import TableSpec

USERS: Final = TableSpec("users", "user_id")
TABLES: Final = (USERS,)
