"""What the rules say of portfolios."""

from gateway.insights import summary
from gateway.portfolio import portfolio_view
from schemas.accounts import Holding
from schemas.money import E8


def said(prices: dict[str, int], *holdings: Holding) -> str:
    return summary(portfolio_view(holdings, {each: n * E8 for each, n in prices.items()}))


def held(asset: str, quantity: int, cost: int = 0, realized: int = 0) -> Holding:
    return Holding(
        asset=asset,
        free_e8=quantity * E8,
        locked_e8=0,
        cost_e8=cost * E8,
        realized_e8=realized * E8,
    )


def test_an_empty_portfolio_has_a_summary() -> None:
    assert said({}) == "You hold no assets and have $0.00 in cash."
    assert said({"BTC": 100}, held("USD", 1_234)) == (
        "You hold no assets and have $1,234.00 in cash."
    )


def test_one_asset_is_compared_with_its_cost() -> None:
    assert said({"BTC": 110}, held("USD", 20), held("BTC", 1, cost=100)) == (
        "You have $130.00: one asset, and $20.00 in cash. "
        "What you hold is worth $10.00 (10.0 %) above what it cost."
    )


def test_a_portfolio_of_mostly_one_asset_is_called_concentrated() -> None:
    text = said({"BTC": 80, "ETH": 20}, held("BTC", 1, cost=100), held("ETH", 1, cost=20))
    assert "The largest position is BTC with 80.0 % of all positions." in text
    assert "concentrated" in text
    assert "$20.00 (16.7 %) below" in text
    even = said({"A": 1, "B": 1, "C": 1}, held("A", 1), held("B", 1), held("C", 1))
    assert "33.3 %" in even
    assert "concentrated" not in even


def test_what_sales_made_or_lost_is_told_after_all_is_sold() -> None:
    assert said({}, held("USD", 5), held("BTC", 0, realized=5)).endswith("have made $5.00.")
    assert said({}, held("USD", 5), held("BTC", 0, realized=-5)).endswith("have lost $5.00.")


def test_cash_that_is_most_of_it_is_called_idle() -> None:
    text = said({"BTC": 25}, held("USD", 75), held("BTC", 1, cost=25))
    assert text.endswith("75.0 % of it is cash, which earns nothing here.")
