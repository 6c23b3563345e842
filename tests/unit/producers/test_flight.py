import asyncio
import time

from producers.commands import Published
from producers.edge import Flight


def acknowledgement() -> "asyncio.Future[Published]":
    return asyncio.get_running_loop().create_future()


async def test_one_command_at_a_time_is_on_its_way() -> None:
    flight, sent = Flight(), acknowledgement()
    assert flight.is_over()
    flight.began(sent)
    assert not flight.is_over()
    sent.set_result(Published(0, 0, 0))
    assert flight.is_over()


async def test_a_command_that_is_never_acknowledged_stops_nothing() -> None:
    flight = Flight(acknowledgement(), sent_s=time.monotonic() - 5.1)
    assert flight.is_over()
