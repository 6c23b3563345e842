"""Whether what the journals say is what the reference exchange says."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec.structs import asdict, replace

from gateway.views import average_price_e8
from runtime.log import Record
from schemas.accounts import OrderCanceled, OrderExpired, OrderFilled
from schemas.codec import Message
from schemas.markets import QuoteUpdated, TradeExecuted
from schemas.money import E8
from simulation.reference.exchange import Exchange, Name, Said

_ENDED: Final = (OrderFilled, OrderCanceled, OrderExpired)


def check(
    inboxes: Mapping[Name, Sequence[Record]], told: Mapping[Name, Mapping[int, Sequence[Said]]]
) -> None:
    """Compare result by result; `told` has what each journal says of each offset of its inbox.

    Raises:
        AssertionError: naming the record and the fields that differ.
    """
    for name, offset, said in Exchange(inboxes).results():
        found = [_bare(each) for each in told[name][offset]]
        if found != said:
            differences = "\n".join(_differences(found, said))
            raise AssertionError(f"{name[0]}/{name[1]}: offset {offset}\n{differences}")
        for each in said:
            if isinstance(each, _ENDED):
                _check_average(each)


def _bare(said: Said) -> Said:
    """Without candles, which are a history of their own."""
    if isinstance(said, TradeExecuted | QuoteUpdated):
        return replace(said, minute=None, closed=())
    return said


def _check_average(ended: OrderFilled | OrderCanceled | OrderExpired) -> None:
    """What a trader sees as the average price gives what was traded, or its last digit more."""
    order = ended.order
    average = average_price_e8(order.cum_notional_e8, order.cum_quantity_e8) or 0
    more = average * order.cum_quantity_e8 - order.cum_notional_e8 * E8
    is_near = 0 <= more < max(order.cum_quantity_e8, E8)
    assert is_near, f"order {order.order_id} shows {average} on average"


def _differences(found: Sequence[Said], said: Sequence[Said]) -> Iterator[str]:
    for n in range(max(len(found), len(said))):
        one, other = (each[n] if n < len(each) else "nothing" for each in (found, said))
        if isinstance(one, Message) and type(one) is type(other):
            yield from _fields(one, other)
        elif one != other:
            yield f"found {one}\nfor   {other}"


def _fields(found: Message, said: Said) -> Iterator[str]:
    assert isinstance(said, Message)
    expected = asdict(said)
    for name, value in asdict(found).items():
        if value != expected[name]:
            yield f"{found.TYPE} {name}: found {value}\nfor {expected[name]}"
