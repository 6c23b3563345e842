"""Commands of auth's own to identity, and their outcomes as the journal tells them."""

import time
from typing import Final

from consumers.auth.request import Request
from consumers.auth.sender import Sender
from consumers.auth.tail import Tail
from schemas.codec import Message, encode
from schemas.topics import IDENTITY_COMMANDS


class Identity:
    """Has identity decide on behalf of a request."""

    def __init__(self, sender: Sender, tail: Tail) -> None:
        self._sender: Final = sender
        self._tail: Final = tail

    async def decided(
        self, request: Request, command_id: str, key: str, command: Message
    ) -> Message:
        """Send the command and wait for its outcome, as long as the caller does.

        Raises:
            Unavailable: the log does not take it.
        """
        async with self._tail.waiters.expect(command_id) as outcome:
            await self._sender.send(
                IDENTITY_COMMANDS,
                encode(command),
                request.commanded(command_id, command, int(time.time() * 1_000)),
                key=key.encode(),
            )
            return await outcome
