"""GET /time: the broker's clock, by which orders expire and commands come too late."""

from starlette.requests import Request
from starlette.responses import Response

from gateway.answers import answer
from gateway.services import services_of
from schemas.envelope import rfc3339


async def read_time(request: Request) -> Response:
    """As exact as the last acknowledged command's way to the broker and back."""
    now_ms = services_of(request).publisher.clock.now_ms()
    return answer({"time": rfc3339(now_ms), "epoch_ms": now_ms})
