"""The tables of users: the users by id, and their live sessions.

A user's rows in the table of sessions begin with a head, which says how far it has come.
"""

from typing import Final

from runtime.projection import TableSpec

USERS: Final = TableSpec("users", "user_id")
SESSIONS: Final = TableSpec("sessions", "user_id", "session_id")
TABLES: Final = (USERS, SESSIONS)

HEAD: Final = "head"
"""In place of a session id, which is 32 hex digits."""
