"""Logs are JSON lines with the same fields from every process."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from runtime import logs


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter("accounts"))
    logger = logging.getLogger("test-logs")
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)


def _line(written: io.StringIO) -> dict[str, Any]:
    return json.loads(written.getvalue())


def test_a_line_says_when_who_what_and_for_which_request(written: io.StringIO) -> None:
    token = logs.correlation_id.set("c-1")
    try:
        logging.getLogger("test-logs").warning("halted %d", 3, extra={"partition": 3})
    finally:
        logs.correlation_id.reset(token)
    line = _line(written)
    assert line.pop("ts").endswith("+00:00")
    assert line == {
        "level": "WARNING",
        "logger": "test-logs",
        "message": "halted 3",
        "process": "accounts",
        "correlation_id": "c-1",
        "partition": 3,
    }


def test_fields_that_speak_of_secrets_are_redacted(written: io.StringIO) -> None:
    logging.getLogger("test-logs").error("no", extra={"password": "Genesis-2009!", "x_token": "t"})
    assert "Genesis" not in written.getvalue()
    assert _line(written)["x_token"] == logs.REDACTED


def test_what_json_cannot_say_is_shown_by_its_repr(written: io.StringIO) -> None:
    logging.getLogger("test-logs").error("odd", extra={"thing": object})
    assert _line(written)["thing"] == repr(object)


def test_a_line_break_in_a_message_stays_in_its_line(written: io.StringIO) -> None:
    logging.getLogger("test-logs").error("a\nb")
    assert written.getvalue().count("\n") == 1
