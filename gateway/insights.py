"""GET /insights/portfolio: what stands out in one's portfolio, in words of rules or of a model."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.answers import answer
from gateway.freshness import min_version
from gateway.narrator import Told
from gateway.portfolio import current_portfolio
from gateway.services import services_of
from schemas.envelope import rfc3339

MODEL: Final = "rules"
CONCENTRATED: Final = Decimal("0.5")
"""From this share of all positions on, one of several is named a risk."""
IDLE: Final = Decimal("0.5")
"""From this share of equity on, cash is named idle."""

Position = Mapping[str, Any]
"""An asset as GET /portfolio shows it."""


async def read_insights(request: Request) -> Response:
    """GET /insights/portfolio, of an empty one too."""
    services = services_of(request)
    caller = await services.auth.caller(request)
    portfolio, as_of = await current_portfolio(services, caller.user_id, min_version(request))
    now_ms = services.publisher.clock.now_ms()
    told, model = None, MODEL
    if (narrator := services.narrator) is not None:
        told, model = await narrator.tell(caller.user_id, portfolio, now_ms=now_ms), narrator.model
    if told is None:
        told, model = Told(summary(portfolio), now_ms), MODEL
    insight = {"summary": told.text, "generated_at": rfc3339(told.time_ms), "model": model}
    return answer({"data": insight, "as_of": as_of.view()}, headers=as_of.headers())


def summary(portfolio: Mapping[str, Any]) -> str:
    """Some sentences about a portfolio as GET /portfolio shows it."""
    return " ".join(_sentences(portfolio))


def _sentences(portfolio: Mapping[str, Any]) -> Iterator[str]:
    positions: Sequence[Position] = portfolio["assets"]
    cash, equity = Decimal(portfolio["cash"]), Decimal(portfolio["equity"])
    if positions:
        count = "one asset" if len(positions) == 1 else f"{len(positions)} assets"
        yield f"You have {_dollars(equity)}: {count}, and {_dollars(cash)} in cash."
        yield from _weights(positions)
        yield from _profit(portfolio)
    else:
        yield f"You hold no assets and have {_dollars(cash)} in cash."
    if realized := Decimal(portfolio["total_realized_pl"]):
        yield f"Your sales so far have {_made(realized)}."
    if positions and cash >= equity * IDLE:
        yield f"{_percent(cash / equity)} of it is cash, which earns nothing here."


def _weights(positions: Sequence[Position]) -> Iterator[str]:
    largest = max(positions, key=_value)
    total = sum(map(_value, positions), Decimal(0))
    if len(positions) == 1 or not total:
        return
    share = _value(largest) / total
    yield f"The largest position is {largest['asset_id']} with {_percent(share)} of all positions."
    if share >= CONCENTRATED:
        yield "That is a concentrated portfolio: most of its risk is this one asset's."


def _profit(portfolio: Mapping[str, Any]) -> Iterator[str]:
    unrealized, cost = (
        Decimal(portfolio[each]) for each in ("total_unrealized_pl", "total_cost_basis")
    )
    if not unrealized or not cost:
        return
    direction = "above" if unrealized > 0 else "below"
    change = f"{_dollars(abs(unrealized))} ({_percent(abs(unrealized) / cost)})"
    yield f"What you hold is worth {change} {direction} what it cost."


def _value(position: Position) -> Decimal:
    return Decimal(position["market_value"])


def _made(amount: Decimal) -> str:
    return f"{'made' if amount > 0 else 'lost'} {_dollars(abs(amount))}"


def _dollars(amount: Decimal) -> str:
    """To the cent; what is less is said to be less."""
    return f"${amount:,.2f}" if not 0 < amount < Decimal("0.005") else "less than a cent"


def _percent(share: Decimal) -> str:
    return f"{share * 100:.1f} %"
