"""JSON logs: one object a line, the same fields from every process, and no secrets."""

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import msgspec

correlation_id: Final[ContextVar[str | None]] = ContextVar("correlation_id", default=None)
"""The correlation id of the request or record that this task works on."""

REDACTED: Final = "[redacted]"
_SECRET_WORDS: Final = ("password", "passphrase", "secret", "token", "authorization", "cookie")
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_LOUD: Final = ("aiobotocore", "aiokafka", "botocore", "docker", "urllib3")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ts, level, logger, message, process, correlation_id, then extras.

    What is passed by `extra=` stands under its own name; names that speak of secrets are redacted.
    """

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        line: dict[str, Any] = {
            "ts": _timestamp(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": self._process,
        }
        if current := correlation_id.get():
            line["correlation_id"] = current
        line |= _extras(record)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=repr).decode()


def configure(process: str, level: str = "INFO", stream: TextIO = sys.stderr) -> None:
    """Let every logger of this process write JSON lines to `stream`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _LOUD:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    for name in ("uvicorn", "uvicorn.access", "uvicorn.error", "faststream"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


def _timestamp(created_s: float) -> str:
    return datetime.fromtimestamp(created_s, UTC).isoformat(timespec="milliseconds")


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {
        name: REDACTED if any(word in name.lower() for word in _SECRET_WORDS) else value
        for name, value in vars(record).items()
        if name not in _STANDARD
    }
