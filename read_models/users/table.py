"""The tables of users: the users by id, their live sessions and API keys.

A user's rows among sessions and API keys have a head, which says how far they have come.
"""

from typing import Final

from runtime.projection import TableSpec

USERS: Final = TableSpec("users", "user_id")
SESSIONS: Final = TableSpec("sessions", "user_id", "session_id")
API_KEYS: Final = TableSpec("api-keys", "user_id", "api_key_id")
TABLES: Final = (USERS, SESSIONS, API_KEYS)

HEAD: Final = "head"
"""In place of the id of a session or API key, which is 32 hex digits."""
