"""Every metric of the system, declared once: name, kind, meaning, labels.

A process counts with the objects below (`JOURNAL_RECORDS.labels("accounts").inc()`) and exports
them with `serve`. What has labels shows nothing until it is used, so no process exports a zero
for what it does not do. Times are seconds, as Prometheus wants them; money is integers of 1e-8.
Dashboards and alerts may name only what stands here (tests/architecture).
"""

import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import (
    REGISTRY,
    Counter,
    Gauge,
    Histogram,
    make_wsgi_app,  # pyright: ignore[reportUnknownVariableType]
)

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_APPEND_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
_REQUEST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5)

# --- journal writer ----------------------------------------------------------------------------

JOURNAL_RECORDS = Counter(
    "cnop_journal_records_total",
    "Journal records whose append was checked (W5).",
    ["context", "partition"],
)
JOURNAL_APPEND_SECONDS = Histogram(
    "cnop_journal_append_seconds",
    "From sending a journal batch to its checked acknowledgement.",
    ["context"],
    buckets=_APPEND_S,
)
JOURNAL_EPOCH = Gauge(
    "cnop_journal_epoch", "Epoch this process writes under.", ["context", "partition"]
)
JOURNAL_FENCED = Counter(
    "cnop_journal_fenced_total",
    "Times a writer dropped its state because an append was not as expected (W5).",
    ["context", "partition"],
)
JOURNAL_HALTED = Gauge(
    "cnop_journal_halted",
    "1 while the partition's writer is halted and waits for an operator (W8).",
    ["context", "partition"],
)
JOURNAL_RESTORE_SECONDS = Gauge(
    "cnop_journal_restore_seconds",
    "How long the last restore from snapshots and journal took (S4).",
    ["context", "partition"],
)
JOURNAL_CHECKPOINT_OFFSET = Gauge(
    "cnop_journal_checkpoint_offset",
    "Journal offset that the newest checkpoint of this writer covers (S2).",
    ["context", "partition"],
)
DEAD_LETTERS = Counter(
    "cnop_dead_letters_total", "Records that could not be decoded, by their topic.", ["topic"]
)

# --- projector ---------------------------------------------------------------------------------

PROJECTOR_RECORDS = Counter(
    "cnop_projector_records_total",
    "Journal records projected together with their checkpoint.",
    ["read_model", "topic", "partition"],
)
PROJECTOR_ROWS = Counter(
    "cnop_projector_rows_total", "Rows written, after coalescing.", ["read_model"]
)
PROJECTOR_TRANSACTION_SECONDS = Histogram(
    "cnop_projector_transaction_seconds",
    "One TransactWriteItems of rows and checkpoint, with its retries.",
    ["read_model"],
    buckets=_REQUEST_S,
)
PROJECTOR_RETRIES = Counter(
    "cnop_projector_retries_total", "Transactions retried: conflict, throttling.", ["read_model"]
)
PROJECTOR_FENCED = Counter(
    "cnop_projector_fenced_total",
    "Checkpoint conditions that failed: somebody else projected (R2).",
    ["read_model", "topic", "partition"],
)
PROJECTOR_CHECKPOINT_OFFSET = Gauge(
    "cnop_projector_checkpoint_offset",
    "Journal offset up to which the tables are the fold of the journal.",
    ["read_model", "topic", "partition"],
)

# --- auth --------------------------------------------------------------------------------------

AUTH_SESSIONS_REVOKED = Counter(
    "cnop_auth_sessions_revoked_total", "Revocations read from the identity journal.", ["partition"]
)

SIGN_INS = Counter(
    "cnop_auth_sign_ins_total",
    "Sign-ins that came to an end: signed-in, sign-in-failed, sign-in-blocked, sign-in-locked.",
    ["outcome"],
)

# --- security ----------------------------------------------------------------------------------

UNAUTHORISED = Counter(
    "cnop_gateway_unauthorised_total",
    "Requests refused for their token (401), or for their role or scope (403).",
    ["reason"],
)
AUDIT_EVENTS = Counter(
    "cnop_audit_events_total", "Security events that stand on security.audit.", ["happened"]
)
AUDIT_DROPPED = Counter(
    "cnop_audit_dropped_total",
    "Security events that were lost: the buffer was full, or the broker unavailable.",
    ["reason"],
)

# --- gateway -----------------------------------------------------------------------------------

RATE_LIMITED = Counter(
    "cnop_gateway_rate_limited_total",
    "Requests refused with 429, by the limit they hit.",
    ["limit"],
)
CONNECTIONS_REFUSED = Counter(
    "cnop_gateway_connections_refused_total",
    "Connections closed by the server: too many of an address, too slow, or too large a head.",
    ["reason"],
)
BREAKER_STATE = Gauge(
    "cnop_breaker_state",
    "What a circuit breaker does with calls: 0 closed, 1 half open, 2 open.",
    ["dependency"],
)

# --- feeds and clock ---------------------------------------------------------------------------

FEED_QUOTES = Counter("cnop_feed_quotes_total", "Quotes published.", ["feed", "symbol"])
CLOCK_TICKS = Counter("cnop_clock_ticks_total", "Ticks published.", ["partition"])

# --- auditor -----------------------------------------------------------------------------------

AUDITOR_IMBALANCE_E8 = Gauge(
    "cnop_auditor_imbalance_e8",
    "Sum of all postings of an asset, 1e-8 units; must be 0.",
    ["asset"],
)
AUDITOR_CLEARING_E8 = Gauge(
    "cnop_auditor_clearing_e8",
    "Balance of clearing:<symbol>, 1e-8 units; 0 whenever nothing is in flight.",
    ["symbol", "asset"],
)
AUDITOR_TRADES_MATCHED = Counter(
    "cnop_auditor_trades_matched_total",
    "Trades joined with exactly two equal legs.",
    ["symbol"],
)
AUDITOR_UNMATCHED = Gauge(
    "cnop_auditor_unmatched",
    "Trades without both legs (what=trade), legs without their trade (what=leg).",
    ["what"],
)
AUDITOR_UNMATCHED_AGE_SECONDS = Gauge(
    "cnop_auditor_unmatched_age_seconds", "Age of the oldest unmatched trade or leg.", ["what"]
)
AUDITOR_FAULTS = Counter(
    "cnop_auditor_faults_total",
    "What must never be: unequal or doubled legs, doubled trades, unbalanced postings.",
    ["fault"],
)
AUDITOR_NEXT_OFFSET = Gauge(
    "cnop_auditor_next_offset", "Next offset that the auditor reads.", ["topic", "partition"]
)

# --- consumer lag: names and labels of kafka_exporter --------------------------------------------

LAG_MESSAGES = Gauge(
    "kafka_consumergroup_lag",
    "Records between the group's position and the partition's end.",
    ["consumergroup", "topic", "partition"],
)
LAG_SECONDS = Gauge(
    "kafka_consumergroup_lag_seconds",
    "Age of the oldest record that the group has not consumed; 0 when there is none.",
    ["consumergroup", "topic", "partition"],
)
GROUP_OFFSET = Gauge(
    "kafka_consumergroup_current_offset",
    "The group's committed offset.",
    ["consumergroup", "topic", "partition"],
)
TOPIC_END_OFFSET = Gauge(
    "kafka_topic_partition_current_offset",
    "The offset that the partition's next record gets.",
    ["topic", "partition"],
)


_EXPOSITION: "WSGIApplication" = make_wsgi_app()  # pyright: ignore[reportUnknownVariableType]
Page = Callable[[], bytes]
_PAGES: dict[str, Page] = {"/health/live": lambda: b'{"status":"ok"}'}


def add_page(path: str, page: Page) -> None:
    """Serve JSON at `path` of the metrics port too.

    It is made in the serving thread, so it may only read what is replaced as a whole.
    """
    _PAGES[path] = page


def serve(port: int, host: str = "127.0.0.1") -> None:
    """Export this process's metrics on `port` in a thread of its own; 0 means not at all.

    GET /metrics is for Prometheus, /health/live for probes, and what `add_page` added.
    """
    if port:
        site = make_server(host, port, _site, _Server, _Quiet)
        threading.Thread(target=site.serve_forever, name="metrics", daemon=True).start()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        """Say nothing: probes and scrapes are no news."""


def _site(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/metrics":
        return _EXPOSITION(environ, start_response)
    page = _PAGES.get(path)
    if page is None:
        start_response("404 Not Found", [("Content-Type", "application/json")])
        return [b'{"status":404}']
    start_response("200 OK", [("Content-Type", "application/json")])
    return [page()]


def names() -> frozenset[str]:
    """Every name that a dashboard or alert may use, as Prometheus sees it."""
    return frozenset(REGISTRY._names_to_collectors)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]  # no public list


def labels(name: str) -> frozenset[str]:
    """The labels of a metric, by one of its names.

    Raises:
        KeyError: there is no such metric.
    """
    metric = REGISTRY._names_to_collectors[name]  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]  # no public lookup
    return frozenset(getattr(metric, "_labelnames", ()))
