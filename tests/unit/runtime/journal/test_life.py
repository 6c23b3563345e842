"""A partition's lives one after another."""

from runtime.errors import Unavailable
from runtime.journal.life import keep_writing


class Lives:
    """Lives that decide something and then lose their broker, `lives` times."""

    def __init__(self, lives: int, *, decide: bool) -> None:
        self._left = lives
        self._decide = decide
        self.waits_ms: list[int] = []

    async def open_log(self) -> "Lives":
        self._left -= 1
        return self

    def writer(self, log: "Lives") -> "Lives":
        self._polls = iter((1,) if self._decide else ())
        return log

    def is_stopping(self) -> bool:
        return self._left <= 0

    async def sleep(self, duration_ms: int) -> None:
        self.waits_ms.append(duration_ms)

    async def start(self) -> None:
        pass

    async def step(self, *, wait_ms: int) -> int:
        for decided in self._polls:
            return decided
        raise Unavailable(f"nothing within {wait_ms}")

    async def finish(self) -> None:
        pass

    async def close(self) -> None:
        pass


async def test_lives_that_decide_nothing_wait_longer_and_longer() -> None:
    lives = Lives(5, decide=False)
    await keep_writing(lives)
    assert lives.waits_ms == [200, 400, 800, 1_600]


async def test_a_life_that_decided_something_starts_the_waits_anew() -> None:
    lives = Lives(5, decide=True)
    await keep_writing(lives)
    assert set(lives.waits_ms) == {200}
