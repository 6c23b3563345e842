import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from runtime import metrics

MONITORING = Path(__file__).parents[2] / "monitoring"
DASHBOARDS = sorted((MONITORING / "grafana" / "dashboards").glob("*.json"))
METRIC = re.compile(r"\b(?:cnop|kafka)_[a-z0-9_]+")
LABELLED = re.compile(r"\b((?:cnop|kafka)_[a-z0-9_]+)\{([^}]*)\}")


def expressions(value: object) -> Iterator[str]:
    """Every PromQL text in a dashboard or in alert rules."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name in {"expr", "query"} and isinstance(each, str):
                yield each
            else:
                yield from expressions(each)
    elif isinstance(value, list):
        for each in value:
            yield from expressions(each)


def promql() -> list[str]:
    texts = [json.loads(each.read_text()) for each in DASHBOARDS]
    texts.append(yaml.safe_load((MONITORING / "alerts.yml").read_text()))
    return [each for text in texts for each in expressions(text)]


def test_there_is_a_consumer_lag_dashboard_and_rules() -> None:
    assert "consumer-lag.json" in {each.name for each in DASHBOARDS}
    assert len(promql()) >= 15


@pytest.mark.parametrize("expression", promql())
def test_dashboards_and_alerts_name_only_metrics_that_exist(expression: str) -> None:
    named = set(METRIC.findall(expression))
    assert named <= metrics.names(), named - metrics.names()


@pytest.mark.parametrize("expression", [each for each in promql() if LABELLED.search(each)])
def test_dashboards_and_alerts_select_only_by_labels_that_exist(expression: str) -> None:
    for name, selector in LABELLED.findall(expression):
        used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
        assert used <= metrics.labels(name), (name, used)


def test_every_metric_is_declared_here_with_a_meaning() -> None:
    ours = [name for name in metrics.names() if name.startswith(("cnop_", "kafka_"))]
    assert len(ours) > 40
    source = Path(metrics.__file__).parents[1]
    declared = re.compile(r"\b(?:Counter|Gauge|Histogram|Summary)\(\s*\"")
    for package in ("runtime", "producers", "consumers", "read_models", "gateway"):
        for path in (source / package).rglob("*.py"):
            if path.name != "metrics.py":
                assert not declared.search(path.read_text()), f"declare it in metrics.py: {path}"


def test_prometheus_scrapes_every_process_of_the_compose_file() -> None:
    (job,) = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["scrape_configs"]
    targets = {each.partition(":")[0] for each in job["static_configs"][0]["targets"]}
    services = yaml.safe_load((MONITORING.parent / "compose.yaml").read_text())["services"]
    ours = {name for name, each in services.items() if each["image"] == "cnop:local"}
    assert targets == ours - {"credentials", "operators", "setup"}
