import json
from pathlib import Path

import pytest

from schemas.codec import Codec, PoisonMessage, encode
from schemas.markets import COMMANDS, EVENTS, HaltMarket

EXAMPLES = Path(__file__).parents[4] / "schemas" / "examples" / "markets"


@pytest.mark.parametrize(
    ("codec", "name"),
    [(COMMANDS, name) for name in COMMANDS.types] + [(EVENTS, name) for name in EVENTS.types],
    ids=str,
)
def test_every_message_type_has_a_golden_example_that_round_trips(codec: Codec, name: str) -> None:
    example = json.loads((EXAMPLES / f"{name}.json").read_text())
    message = codec.decode(name, json.dumps(example).encode())
    assert type(message) is codec.types[name]
    assert json.loads(encode(message)) == example


def test_there_is_no_example_of_an_unknown_type() -> None:
    known = {f"{name}.json" for name in (*COMMANDS.types, *EVENTS.types)}
    assert {each.name for each in EXAMPLES.iterdir()} == known


@pytest.mark.parametrize("symbol", ["clock", "", "BTC", "btc-usd", "BTC-USD ", "A" * 11 + "-USD"])
def test_a_symbol_that_no_market_can_have_is_poison(symbol: str) -> None:
    with pytest.raises(PoisonMessage):
        COMMANDS.decode(HaltMarket.TYPE, json.dumps({"symbol": symbol}).encode())
