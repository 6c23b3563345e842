"""What the handlers of all commands share: decide, and answer with the decision or a 202."""

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.answers import ACCOUNT_VERSION, answer
from gateway.deciding import Order, Pending
from gateway.outcomes import result_of
from gateway.problems import Problem
from gateway.services import services_of

COMMANDS_PATH = "/api/v1/commands/"
_NOTHING: Final[Mapping[str, str]] = {}


async def commanded(
    request: Request, order: Order, *, status: int, once: Mapping[str, str] = _NOTHING
) -> Response:
    """Have the order decided and answer; `status` is what success answers.

    `once` is said by the first answer alone: nothing keeps it for a replay.

    Raises:
        Problem: refused.
        Unavailable: it cannot be decided now.
    """
    services = services_of(request)
    try:
        decided = await services.deciding.decide(request, order)
    except Pending as pending:
        return accepted(pending.command_id, once)
    headers: dict[str, str] = {}
    if decided.is_replayed:
        headers["Idempotency-Replayed"] = "true"
        once = _NOTHING
    try:
        result = await result_of(decided.reply, services.people)
    except Problem as problem:
        problem.headers.update(headers)
        raise
    if result.account_version is not None:
        headers[ACCOUNT_VERSION] = str(result.account_version)
    return answer({**result.body, **once}, status, headers)


def accepted(command_id: str, once: Mapping[str, str] = _NOTHING) -> Response:
    """202: the decision can be asked for."""
    headers = {"Location": f"{COMMANDS_PATH}{command_id}"}
    return answer({"command_id": command_id, "status": "pending", **once}, 202, headers)
