"""GET /commands/{command_id}: how a command ended, for whom it belongs to."""

from starlette.requests import Request
from starlette.responses import Response

from gateway.answers import answer
from gateway.deciding import as_reply
from gateway.ids import NOBODY
from gateway.outcomes import result_of
from gateway.problems import Problem
from gateway.services import services_of
from schemas.envelope import rfc3339


async def read_command(request: Request) -> Response:
    """The command's state; an id that we made and nobody decided yet is pending, not unknown.

    A registration's id belongs to whoever knows it.
    """
    services = services_of(request)
    command_id: str = request.path_params["command_id"]
    if not services.deciding.ids.belongs(command_id, NOBODY):
        caller = await services.auth.caller(request)
        if not services.deciding.ids.belongs(command_id, caller.user_id):
            raise Problem("not-found", detail="There is no such command of yours.")
    outcome = await services.deciding.outcome(command_id)
    if outcome is None:
        return answer({"command_id": command_id, "status": "pending"})
    body: dict[str, object] = {"command_id": command_id, "status": "succeeded"}
    try:
        body["result"] = (await result_of(as_reply(outcome), services.people)).body
    except Problem as problem:
        body |= {"status": "refused", "problem": problem.body()}
    body["decided_at"] = rfc3339(outcome.decided_at_ms)
    return answer(body)
