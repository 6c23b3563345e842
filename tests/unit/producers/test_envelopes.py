from producers.envelopes import command_headers
from schemas.envelope import ReplyRoute, header_map
from schemas.markets import TickClock


def test_a_command_without_options_says_what_it_is_and_when_it_expires() -> None:
    headers = command_headers(
        TickClock(), producer="clock", command_id="c1", time_ms=1_000, expires_at_ms=3_000
    )
    assert header_map(headers) == {
        "ce_specversion": b"1.0",
        "ce_id": b"c1",
        "ce_type": b"markets.tick-clock.v1",
        "ce_source": b"cnop/clock",
        "ce_time": b"1970-01-01T00:00:01.000Z",
        "content-type": b"application/json",
        "command-id": b"c1",
        "expires-at": b"3000",
        "x-source": b"clock",
    }


def test_every_option_has_its_header() -> None:
    headers = header_map(
        command_headers(
            TickClock(),
            producer="gateway",
            command_id="c1",
            time_ms=1_000,
            expires_at_ms=3_000,
            retain_until_ms=9_000,
            user_id="u1",
            user_role="analyst",
            fingerprint="f1",
            reply_to=ReplyRoute(3, "c1"),
            correlation_id="r1",
            traceparent="t1",
        )
    )
    assert headers["retain-until"] == b"9000"
    assert headers["x-source"] == b"gateway"
    assert headers["x-auth-service"] == b"auth-service"
    assert headers["x-user-id"] == b"u1"
    assert headers["x-user-role"] == b"analyst"
    assert headers["fingerprint"] == b"f1"
    assert headers["reply-to"] == b"3/c1"
    assert headers["correlation-id"] == b"r1"
    assert headers["traceparent"] == b"t1"
