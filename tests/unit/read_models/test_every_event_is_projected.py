"""No event of an account may pass by the read models that show what it changed."""

import msgspec
import pytest

from read_models.orders.projection import OrdersProjection
from read_models.portfolio.projection import PortfolioProjection
from schemas.accounts import EVENTS, CancelRequested, HouseTraded
from schemas.codec import Message

_UNSEEN = (HouseTraded, CancelRequested)
"""Nobody asks for the house's rows; a cancel that was asked for changes nothing yet."""
_EVENTS = [each for each in EVENTS.types.values() if each not in _UNSEEN]


@pytest.mark.parametrize("event", _EVENTS)
def test_what_changes_an_order_holdings_or_fees_is_of_concern(event: type[Message]) -> None:
    fields = {each.name for each in msgspec.structs.fields(event)}
    assert (event.TYPE in OrdersProjection.concerns) == ("order" in fields)
    assert (event.TYPE in PortfolioProjection.concerns) == bool({"holdings", "tiers"} & fields)
