"""What the handlers of all commands share: decide, and answer with the decision or a 202."""

from starlette.requests import Request
from starlette.responses import Response

from gateway.answers import ACCOUNT_VERSION, answer
from gateway.deciding import Order, Pending
from gateway.outcomes import result_of
from gateway.problems import Problem
from gateway.services import services_of

COMMANDS_PATH = "/api/v1/commands/"


async def commanded(request: Request, order: Order, *, status: int) -> Response:
    """Have the order decided and answer; `status` is what success answers.

    Raises:
        Problem: refused.
        Unavailable: it cannot be decided now.
    """
    services = services_of(request)
    try:
        decided = await services.deciding.decide(request, order)
    except Pending as pending:
        return accepted(pending.command_id)
    headers: dict[str, str] = {}
    if decided.is_replayed:
        headers["Idempotency-Replayed"] = "true"
    try:
        result = await result_of(decided.reply, services.people)
    except Problem as problem:
        problem.headers.update(headers)
        raise
    if result.account_version is not None:
        headers[ACCOUNT_VERSION] = str(result.account_version)
    return answer(result.body, status, headers)


def accepted(command_id: str) -> Response:
    """202: the decision can be asked for."""
    headers = {"Location": f"{COMMANDS_PATH}{command_id}"}
    return answer({"command_id": command_id, "status": "pending"}, 202, headers)
