"""An operator sets fees by tier, and traders pay what their 30-day volume makes them pay."""

import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import ROUND_CEILING, Decimal

import pytest
from traders import Gateways, Trader, until

from runtime.devstack.background import Stack
from schemas.acls import OPERATORS


@pytest.fixture
def stack_with_fees(stack: Stack) -> Iterator[Stack]:
    """The shared system with three tiers, and without fees again afterwards."""
    said = cnop(stack, "set", "--tier", "0:0.001:0.002", "--tier", "10:0:0.0005")
    assert "partitions of accounts decided" in said.stdout, said
    yield stack
    assert cnop(stack, "set", "--tier", "0:0:0").returncode == 0


def cnop(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own command
        [sys.executable, "-m", "runtime.cli", "fees", *arguments],
        env=os.environ | stack.environment_of(OPERATORS),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def fees(trader: Trader) -> tuple[int, str, Decimal]:
    shown = (await trader.read("/account/fees"))["data"]
    return shown["tier"], shown["taker_fee_rate"], Decimal(shown["volume_30d"])


async def test_trading_more_makes_it_cheaper(stack_with_fees: Stack) -> None:
    async with Gateways.of(stack_with_fees) as gateways:
        trader = await gateways.funded()

        async def pays_fees() -> bool:
            return await fees(trader) == (0, "0.002", 0)

        await until(pays_fees, limit_s=30)
        bought = await trader.order(quantity="0.01")
        notional = Decimal(bought["total_amount"]) - Decimal(bought["fee"])
        assert Decimal(bought["fee"]) == up(notional * Decimal("0.002"))
        assert await fees(trader) == (1, "0.0005", notional)
        sold = await trader.order(order_type="market_sell", quantity="0.01")
        received = Decimal(sold["total_amount"])
        assert Decimal(sold["fee"]) == up(received * Decimal("0.0005"))
        path = f"/orders/{sold['order_id']}/executions"
        (execution,) = (await trader.read(path))["data"]
        assert (execution["fee"], execution["liquidity"]) == (sold["fee"], "TAKER")
        paid = Decimal(bought["fee"]) + Decimal(sold["fee"])
        assert await trader.cash() == (str(1000 - notional + received - paid), "0")


def up(amount: Decimal) -> Decimal:
    """To whole units of 1e-8."""
    return amount.quantize(Decimal("0.00000001"), ROUND_CEILING)


async def test_the_operator_sees_what_is_set(stack_with_fees: Stack) -> None:
    async def shows_it() -> bool:
        return cnop(stack_with_fees, "show").stdout.splitlines() == [
            "from $0 in 30 days: maker 0.001, taker 0.002",
            "from $10 in 30 days: maker 0, taker 0.0005",
        ]

    await until(shows_it, limit_s=30)
    refused = cnop(stack_with_fees, "set", "--tier", "5:0:0")
    assert (refused.returncode, refused.stderr) == (
        2,
        "These are no fees: a schedule has 1 to 20 tiers, the first from volume 0 on.\n",
    )
