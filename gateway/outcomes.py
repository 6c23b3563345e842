"""One table from decisions to HTTP answers, for the request itself, its replay and its 202."""

from typing import Any, NamedTuple

from gateway.people import People
from gateway.problems import Problem, refusal, unavailable
from gateway.replies import Reply
from gateway.views import canceling_view, checked_view, money_view, order_view
from schemas import accounts, auth, identity, journal, markets
from schemas.codec import Message


class Result(NamedTuple):
    """What a decision that succeeded answers; the version is its account's, if it has one."""

    body: dict[str, Any]
    account_version: int | None = None


async def result_of(reply: Reply, people: People) -> Result:  # noqa: C901, PLR0911  # one per kind
    """The body that answers a decision.

    Raises:
        Problem: the decision was a refusal.
    """
    event = reply.event
    match event:
        case accounts.FundsDeposited() | accounts.FundsWithdrawn():
            return Result(money_view(event, time_ms=reply.time_ms), reply.version)
        case (
            accounts.OrderAccepted()
            | accounts.OrderFilled()
            | accounts.OrderCanceled()
            | accounts.OrderExpired()
            | accounts.OrderReplaced()
        ):
            return Result({"data": order_view(event.order, version=reply.version)}, reply.version)
        case accounts.CancelAllRequested() | accounts.OrderChecked():
            return Result(_asked_view(event), reply.version)
        case identity.UserRegistered():
            return Result({"message": "User registered successfully"})
        case identity.ProfileUpdated():
            profile = await people.view(event.user)
            return Result({"message": "Profile updated successfully", "user": profile})
        case identity.RoleChanged() | identity.UserLocked() | identity.UserUnlocked():
            return Result({"role": event.user.role, "locked": event.user.locked})
        case identity.UserErased():
            return Result({"message": "User erased"})
        case identity.ApiKeyMade():
            return Result(await people.api_key_view(event))
        case identity.ApiKeyDeleted():
            return Result({})
        case identity.SessionEnded():
            return Result({"message": "Logged out successfully"})
        case _:
            raise refused(event)


def _asked_view(event: accounts.CancelAllRequested | accounts.OrderChecked) -> dict[str, Any]:
    match event:
        case accounts.CancelAllRequested():
            return canceling_view(event)
        case accounts.OrderChecked():
            return checked_view(event)


def refused(event: Message) -> Problem:
    """The problem that answers a refusal."""
    match event:
        case accounts.OrderRejected(order=order):
            return refusal(order.reason or "internal-error", order_id=order.order_id)
        case (
            accounts.CommandRefused(reason=reason)
            | accounts.ReplaceRefused(reason=reason)
            | identity.CommandRefused(reason=reason)
            | markets.CommandRefused(reason=reason)
            | identity.RegistrationRejected(reason=reason)
            | journal.CommandRefused(reason=reason)
        ):
            return refusal(reason)
        case journal.CommandDiscarded():
            return refusal("command-discarded")
        case auth.Refused():
            return auth_refusal(event)
        case _:
            return refusal("internal-error")


def auth_refusal(refused: auth.Refused) -> Problem:
    """What auth's refusal answers; 401 only where a credential or token is wrong."""
    match refused.reason:
        case auth.Reason.UNAVAILABLE | auth.Reason.INVALID_SECRET:
            return unavailable(retry_after_s=refused.retry_after_s)
        case auth.Reason.BUSY:
            return Problem("sign-in-busy", headers={"Retry-After": str(refused.retry_after_s)})
        case auth.Reason.SIGN_IN_BLOCKED if refused.retry_after_s:
            return Problem("sign-in-blocked", headers={"Retry-After": str(refused.retry_after_s)})
        case _:
            return refusal(refused.reason)
