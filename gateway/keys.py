"""/.well-known/jwks.json: the public halves of the keys that sign access tokens."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from gateway.answers import answer
from gateway.services import services_of
from runtime.errors import Unavailable
from runtime.security.signing import jwks

_HEADERS = {"Cache-Control": "public, max-age=5"}
"""Shorter than it takes until a new key signs."""


async def read_keys(request: Request) -> Response:
    """The JSON Web Key Set, oldest key first.

    Raises:
        Unavailable: the key files cannot be read.
    """
    directory = services_of(request).settings.secrets
    try:
        keys = await asyncio.to_thread(jwks, directory)
    except (OSError, ValueError) as error:
        raise Unavailable(f"the public keys cannot be read: {error}") from error
    return answer(keys, headers=_HEADERS)
