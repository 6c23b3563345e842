"""Errors as RFC 9457 problems: one table says status and words of every reason code."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

TYPE_BASE: Final = "https://cnop.dev/errors/"
"""Each type has a page docs/errors/<code>.md."""
RETRY_AFTER_S: Final = 1


class Kind(NamedTuple):
    """What all problems with one code share."""

    status: int
    title: str
    detail: str


KINDS: Final[Mapping[str, Kind]] = {
    # the request itself
    "not-json": Kind(400, "Not JSON", "The body is not valid JSON."),
    "not-found": Kind(404, "Not found", "There is no such thing here."),
    "method-not-allowed": Kind(405, "Method not allowed", "This path has other methods."),
    "body-too-large": Kind(413, "Body too large", "The body is over 64 KiB."),
    "unsupported-media-type": Kind(
        415, "Unsupported media type", "The body has to be application/json."
    ),
    "validation-failed": Kind(422, "Validation failed", "Something in the request is not valid."),
    "bad-request": Kind(400, "Bad request", "The request cannot be understood."),
    "headers-too-large": Kind(
        431, "Headers too large", "The request line and headers are over 16 KiB or 100 headers."
    ),
    "request-timeout": Kind(408, "Request timeout", "The request did not arrive whole in time."),
    "rate-limited": Kind(429, "Too many requests", "Too many requests; wait before the next one."),
    # who asks
    "invalid-token": Kind(
        401, "Not signed in", "The access token is missing, malformed, expired or revoked."
    ),
    "invalid-credentials": Kind(401, "Wrong credentials", "Username or password is wrong."),
    "sign-in-blocked": Kind(
        403, "Sign-in blocked", "Too many wrong attempts; try again in a few minutes."
    ),
    "invalid-refresh-token": Kind(
        401, "Not refreshed", "The refresh token is malformed, expired, used or revoked."
    ),
    "user-locked": Kind(403, "User locked", "An operator locked this user."),
    "role-not-allowed": Kind(403, "Role not allowed", "Your role does not allow this."),
    "scope-not-granted": Kind(
        403, "Scope not granted", "The API key has not the scope that this needs."
    ),
    # identity
    "username-taken": Kind(409, "Username taken", "This username belongs to somebody already."),
    "email-taken": Kind(409, "Email taken", "This email belongs to somebody already."),
    "email-change-pending": Kind(
        409, "Email change pending", "Another change of the email is still under way."
    ),
    "profile-changed": Kind(
        409, "Profile changed", "The profile was changed by another request at the same time."
    ),
    "unknown-user": Kind(404, "Unknown user", "There is no such user."),
    "unknown-session": Kind(404, "Unknown session", "There is no such session."),
    "unknown-api-key": Kind(404, "Unknown API key", "There is no such API key."),
    "too-many-api-keys": Kind(422, "Too many API keys", "The limit of API keys is reached."),
    "sign-in-busy": Kind(
        429, "Sign-in busy", "Too many sign-ins at the same time; try again in a moment."
    ),
    # money
    "insufficient-funds": Kind(422, "Insufficient funds", "The available balance is too low."),
    "insufficient-holdings": Kind(
        422, "Insufficient holdings", "The available quantity of the asset is too low."
    ),
    "deposit-limit": Kind(
        422, "Daily deposit limit", "This deposit would go over the daily deposit limit."
    ),
    "withdrawal-limit": Kind(
        422, "Daily withdrawal limit", "This withdrawal would go over the daily withdrawal limit."
    ),
    "invalid-amount": Kind(422, "Invalid amount", "The amount is not allowed."),
    "statement-too-long": Kind(
        422, "Statement too long", "The period has more than 10,000 movements."
    ),
    # orders
    "invalid-quantity": Kind(422, "Invalid quantity", "The quantity is not allowed."),
    "invalid-price": Kind(422, "Invalid price", "The price is not allowed."),
    "order-value": Kind(422, "Order value too high", "The order's value is over the limit."),
    "min-notional": Kind(422, "Order value too low", "The order's value is below the minimum."),
    "tick-size": Kind(422, "Price off the tick", "The price is not a multiple of the tick size."),
    "lot-size": Kind(422, "Quantity off the lot", "The quantity is not a multiple of the lot."),
    "unknown-asset": Kind(422, "Unknown asset", "There is no market for this asset."),
    "market-halted": Kind(422, "Market halted", "The market takes no orders at present."),
    "no-price": Kind(422, "No price", "The market has no recent price for a market order."),
    "open-orders": Kind(422, "Too many open orders", "The limit of open orders is reached."),
    "duplicate-client-order-id": Kind(
        422, "Client order id used", "An order with this client_order_id exists already."
    ),
    "unknown-market": Kind(404, "Unknown market", "There is no such market."),
    "unknown-order": Kind(404, "Unknown order", "There is no such order."),
    "order-final": Kind(409, "Order already final", "The order has ended and cannot change."),
    "cancel-pending": Kind(409, "Cancel pending", "A cancel of this order is under way."),
    "deadline": Kind(422, "Too late", "The order did not reach the market in time."),
    "collar": Kind(422, "Price moved away", "The market trades beyond the price collar."),
    "no-liquidity": Kind(422, "No liquidity", "The market could not fill the order."),
    "fill-limit": Kind(422, "Too many fills", "The order would need too many fills."),
    "canceled-by-user": Kind(409, "Order canceled", "The order was canceled."),
    "invalid-time-in-force": Kind(
        422, "Invalid time in force", "A post-only order has to be one that may rest."
    ),
    "invalid-expiry": Kind(
        422, "Invalid expiry", "GTD needs an expires_at within a year, and nothing else has one."
    ),
    "expired": Kind(422, "Order expired", "The order's time ran out."),
    "post-only": Kind(422, "Would trade at once", "A post-only order must not take liquidity."),
    "self-trade": Kind(422, "Self-trade", "The order would trade with one of the same account."),
    "replace-pending": Kind(409, "Change pending", "Another change of this order is under way."),
    "not-a-stop": Kind(422, "Not a stop", "The order has no stop price that could change."),
    "stop-triggered": Kind(
        409, "Stop already triggered", "The order's stop price was reached and counts no more."
    ),
    "quantity-filled": Kind(
        422, "Quantity filled already", "The new quantity is not above what is filled."
    ),
    # commands
    "idempotency-key-reused": Kind(
        422, "Idempotency-Key reused", "This Idempotency-Key came with another request before."
    ),
    "command-pending": Kind(
        409, "Still being decided", "The command with this Idempotency-Key is still undecided."
    ),
    "command-expired": Kind(
        503, "Too late", "The command reached its decider too late and changed nothing."
    ),
    "command-discarded": Kind(422, "Not understood", "The command could not be understood."),
    "as-of-undecided": Kind(
        409, "Not decided yet", "as_of is beyond what is decided of this account."
    ),
    # the system
    "version-not-reached": Kind(
        503, "Version not reached", "The asked account version is not readable yet."
    ),
    "unavailable": Kind(503, "Unavailable", "A service that this needs does not answer."),
    "internal-error": Kind(500, "Internal error", "Something went wrong on our side."),
}

_OTHER_NAMES: Final = {
    "busy": "sign-in-busy",
    "refresh-token-used": "invalid-refresh-token",
    "invalid-secret": "unavailable",
}


class FieldError(NamedTuple):
    """What is wrong with one field of a request."""

    field: str
    message: str


class Problem(Exception):  # noqa: N818  # RFC 9457's word
    """Answer this request with a problem; `code` is one of `KINDS`."""

    def __init__(
        self,
        code: str,
        *,
        detail: str | None = None,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(code)
        self.code: Final = code
        self.kind: Final = KINDS[code]
        self.detail: Final = detail or self.kind.detail
        self.errors: Final = tuple(errors)
        self.headers: Final = _with_defaults(self.kind, code, headers or {})
        self.members: Final = members or {}

    def body(
        self, *, instance: str | None = None, request_id: str | None = None
    ) -> dict[str, object]:
        """The problem's members, in the RFC's order."""
        body: dict[str, object] = {
            "type": TYPE_BASE + self.code,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
        }
        if instance is not None:
            body["instance"] = instance
        body["code"] = self.code
        if request_id is not None:
            body["request_id"] = request_id
        if self.errors:
            body["errors"] = [each._asdict() for each in self.errors]
        return body | dict(self.members)


def refusal(reason: str, **more: object) -> Problem:
    """The problem of a decider's reason code; an unknown one is our own fault."""
    code = _OTHER_NAMES.get(reason, reason)
    return Problem(code if code in KINDS else "internal-error", members=more)


def invalid(field: str, message: str) -> Problem:
    """One field of the request is not valid."""
    return Problem("validation-failed", errors=(FieldError(field, message),))


def unavailable(*, retry_after_s: int = RETRY_AFTER_S, **more: object) -> Problem:
    """A dependency does not answer."""
    return Problem("unavailable", headers={"Retry-After": str(max(1, retry_after_s))}, members=more)


def _with_defaults(kind: Kind, code: str, headers: Mapping[str, str]) -> dict[str, str]:
    complete = dict(headers)
    if kind.status in (429, 503):
        complete.setdefault("Retry-After", str(RETRY_AFTER_S))
    if code == "invalid-token":
        complete.setdefault("WWW-Authenticate", "Bearer")
    return complete
