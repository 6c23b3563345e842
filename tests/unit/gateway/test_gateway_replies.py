"""Which replies reach whom."""

import pytest

from gateway.replies import Waiters
from schemas.codec import encode
from schemas.envelope import CE_TYPE, FINGERPRINT
from schemas.journal import CommandRefused

REFUSED = CommandRefused(command_id="c", reason="idempotency-key-reused")


def resolve(waiters: Waiters, fingerprint: bytes | None) -> None:
    headers = {CE_TYPE: REFUSED.TYPE.encode()}
    if fingerprint is not None:
        headers[FINGERPRINT] = fingerprint
    waiters.resolve("c", headers, encode(REFUSED))


@pytest.mark.parametrize("other", [b"another body", b"", b"\xff"])
async def test_a_reply_to_another_body_under_the_same_key_is_not_ours(other: bytes) -> None:
    waiters = Waiters()
    future = waiters.expect("c", "mine")
    resolve(waiters, other)
    assert not future.done()
    resolve(waiters, b"mine")
    assert (await future).event == REFUSED


@pytest.mark.parametrize(("mine", "carried"), [(None, b"any"), (None, None), ("mine", None)])
async def test_without_fingerprints_the_command_id_says_enough(
    mine: str | None, carried: bytes | None
) -> None:
    waiters = Waiters()
    future = waiters.expect("c", mine)
    resolve(waiters, carried)
    assert future.done()
