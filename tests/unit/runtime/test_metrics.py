import urllib.error
import urllib.request
from contextlib import closing
from socket import create_server

import pytest

from runtime import metrics


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # our own loopback
        return answer.read()


def test_the_port_serves_metrics_liveness_and_added_pages_and_nothing_else() -> None:
    with closing(create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    metrics.add_page("/books", lambda: b'{"balanced":true}')
    metrics.CLOCK_TICKS.labels("0").inc()
    metrics.serve(port)
    url = f"http://127.0.0.1:{port}"
    assert b'cnop_clock_ticks_total{partition="0"} 1.0' in fetch(f"{url}/metrics")
    assert fetch(f"{url}/health/live") == b'{"status":"ok"}'
    assert fetch(f"{url}/books") == b'{"balanced":true}'
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetch(f"{url}/else")
    refused.value.close()
    assert refused.value.code == 404


def test_what_is_not_counted_is_not_exported() -> None:
    assert not next(iter(metrics.AUTH_SESSIONS_REVOKED.collect())).samples


def test_labels_are_known_by_every_name_of_a_metric() -> None:
    assert metrics.labels("cnop_journal_append_seconds_bucket") == {"context"}
    assert metrics.labels("kafka_consumergroup_lag") == {"consumergroup", "topic", "partition"}
