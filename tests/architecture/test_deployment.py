import ast
import json
import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from runtime.devstack.broker_security import as_environment, broker_security
from runtime.devstack.processes import PRODUCERS, WORKERS
from runtime.security.kafka_passwords import BROKER, SIGNED_IN
from runtime.settings import Settings
from schemas.acls import ADMIN, PRINCIPALS

REPOSITORY = Path(__file__).parents[2]
CHART = REPOSITORY / "charts" / "cnop"
PROCESSES = {each.name: list(each.command) for each in (*WORKERS, *PRODUCERS)}
ROOT_FOR_A_MOMENT = {"dynamodb-volume"}
PASSWORD_FILES = re.compile(r"CNOP_KAFKA_PASSWORD_FILE|/etc/cnop/kafka/password|the key `password`")
PIN = re.compile(r"^(\S+==\S+).*?((?:\n    --hash=\S+(?: \\)?)+)", re.MULTILINE)


PINS_RUNTIME = PIN.findall((REPOSITORY / "requirements-runtime.lock").read_text())


def imported(path: Path) -> set[str]:
    """Top-level modules that a file imports."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.add(node.module)
    named = {each.partition(".")[0] for each in modules}
    return {each for each in named if not each.startswith("types_")}  # stubs, for the checker alone


def compose() -> dict[str, Any]:
    return yaml.safe_load((REPOSITORY / "compose.yaml").read_text())


def values() -> dict[str, Any]:
    return yaml.safe_load((CHART / "values.yaml").read_text())


def instructions() -> list[list[str]]:
    text = (REPOSITORY / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


# --- compose.yaml ------------------------------------------------------------------------------


def test_compose_runs_every_process() -> None:
    services = compose()["services"]
    assert {name: services[name]["command"] for name in PROCESSES} == PROCESSES
    assert services["gateway"]["command"] == ["gateway"]
    assert {"kafka", "dynamodb", "prometheus", "grafana"} <= services.keys()


@pytest.mark.parametrize("name", compose()["services"])
def test_compose_services_are_pinned_healthy_and_not_root(name: str) -> None:
    service = compose()["services"][name]
    assert re.fullmatch(r"[a-z/-]+:(?!latest)\S+", service["image"])
    user = service["user"].partition(":")[0]
    assert (user == "0") == (name in ROOT_FOR_A_MOMENT)
    checked = "healthcheck" in service or service["image"] == "cnop:local"
    assert checked or name in ROOT_FOR_A_MOMENT


def test_compose_s_broker_is_secured_as_the_local_one() -> None:
    told = compose()["services"]["kafka"]["environment"]
    for name, value in broker_security("/credentials").items():
        assert told[as_environment(name)] == value.replace("$", "$$"), name
    assert told["KAFKA_LISTENERS"] == "CLIENTS://:9092,INTERNAL://:9094,CONTROLLER://:9093"


@pytest.mark.parametrize("name", [*PROCESSES, "gateway", "operators"])
def test_a_compose_service_signs_in_as_itself_and_sees_no_other_s_password(name: str) -> None:
    service = compose()["services"][name]
    place = f"/var/lib/cnop/kafka/{name}"
    assert service["environment"]["CNOP_KAFKA_USERNAME"] == name
    assert service["environment"]["CNOP_KAFKA_PASSWORD_FILE"] == f"{place}/password"
    mounted = [each for each in service["volumes"] if each.startswith("kafka")]
    assert mounted == [f"kafka-{name}:{place}:ro"]


def test_compose_and_image_have_a_place_for_every_password() -> None:
    everybody = {*SIGNED_IN, BROKER}
    places = {f"kafka-{each}:/var/lib/cnop/kafka/{each}" for each in everybody}
    assert set(compose()["x-passwords"]) == places
    assert {f"kafka-{each}" for each in everybody} <= compose()["volumes"].keys()
    image = (REPOSITORY / "Dockerfile").read_text()
    (listed,) = re.findall(r"for each in (.*?);", image)
    assert set(listed.split()) == everybody


def test_compose_publishes_only_people_s_ports_and_only_on_the_loopback() -> None:
    ports = {name: each["ports"] for name, each in compose()["services"].items() if "ports" in each}
    assert ports == {
        "gateway": ["127.0.0.1:8080:8080"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "grafana": ["127.0.0.1:3001:3000"],
    }


def test_compose_mounts_files_that_exist_and_volumes_that_are_declared() -> None:
    declared = compose()["volumes"]
    for service in compose()["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            is_path = source.startswith(".")
            assert (REPOSITORY / source).exists() if is_path else source in declared, volume


def test_compose_depends_on_services_that_exist() -> None:
    services = compose()["services"]
    for each in services.values():
        assert set(each.get("depends_on", ())) <= services.keys()


def test_compose_and_chart_set_only_settings_that_exist() -> None:
    known = {f"CNOP_{name.upper()}" for name in Settings.model_fields}
    texts = [REPOSITORY / "compose.yaml", REPOSITORY / "Dockerfile", *CHART.rglob("*.*")]
    for path in texts:
        assert set(re.findall(r"CNOP_[A-Z_]+", path.read_text())) <= known, path


# --- Dockerfile --------------------------------------------------------------------------------


def test_the_image_ends_as_a_user_without_rights_and_starts_cnop() -> None:
    users = [words[1] for words in instructions() if words[0] == "USER"]
    assert users == ["10001:10001"]
    assert instructions()[-1] == ["ENTRYPOINT", '["python",', '"-m",', '"runtime.cli"]']
    assert len([words for words in instructions() if words[0] == "FROM"]) == 2


def test_the_image_installs_by_hash_and_copies_only_what_is_there() -> None:
    text = (REPOSITORY / "Dockerfile").read_text()
    assert "--require-hashes" in text
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    for words in instructions():
        if words[0] == "COPY" and not words[1].startswith("--"):
            assert (REPOSITORY / words[1]).exists()
            assert f"!{words[1]}" in ignored


def test_the_image_s_lock_is_a_part_of_the_whole_lock() -> None:
    whole = dict(PIN.findall((REPOSITORY / "requirements.lock").read_text()))
    part = dict(PINS_RUNTIME)
    assert len(part) > 30
    missing = sorted(name for name in part if name not in whole)
    assert not missing, f"make it again as docs/deployment.md says: {missing}"
    dependencies = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    for requirement in dependencies["dependencies"]:
        name = re.split(r"[\[>=<~!;]", requirement)[0]
        assert any(pin.startswith(f"{name}==") for pin in part), requirement
    assert not any(name.startswith(("pytest==", "ruff==", "pyright==")) for name in part)


def test_the_image_has_every_package_that_the_code_imports() -> None:
    locked = {name.partition("==")[0] for name, _ in PINS_RUNTIME}
    distributions = packages_distributions()
    for package in ("schemas", "runtime", "producers", "consumers", "read_models", "gateway"):
        for path in (REPOSITORY / package).rglob("*.py"):
            for module in imported(path) & distributions.keys():
                names = {re.sub(r"[-_.]+", "-", each).lower() for each in distributions[module]}
                assert names & (locked | {"cnop"}), f"{path} imports {module}"


# --- charts/cnop -------------------------------------------------------------------------------


def test_the_values_fit_their_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(values(), schema)


@pytest.mark.parametrize(
    "change",
    [
        {"kafka": {"bootstrap": "kafka:9092", "password": "x"}},
        {"kafka": values()["kafka"] | {"mechanism": "PLAIN"}},
        {"workers": {"auditor": {"args": ["worker", "auditor"], "replicas": 2, "resources": {}}}},
        {"dynamodb": {"endpoint": "somewhere", "region": "us-east-1"}},
    ],
)
def test_values_that_cannot_be_meant_are_refused(change: dict[str, Any]) -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values() | change, schema)


def test_the_chart_runs_every_process() -> None:
    assert {name: each["args"] for name, each in values()["workers"].items()} == PROCESSES
    deployments = (CHART / "templates" / "deployments.yaml").read_text()
    assert '"name" "gateway"' in deployments
    assert "range $name, $worker := .Values.workers" in deployments


def test_every_pod_of_the_chart_signs_in_as_itself() -> None:
    assert {*values()["workers"], "gateway"} <= set(PRINCIPALS)
    pod = (CHART / "templates" / "_pod.tpl").read_text()
    for part in ("environment", "volumes"):
        own = f'"cnop.kafka-{part}" (dict "root" .root "principal" .name)'
        assert own in pod
        setup = f'"cnop.kafka-{part}" (dict "root" . "principal" "{ADMIN}")'
        assert setup in (CHART / "templates" / "setup.yaml").read_text()
    assert "secretName: {{ .root.Values.kafka.credentials }}{{ .principal }}" in pod


def test_the_chart_holds_no_secret() -> None:
    words = re.compile(r"(?i)password|passphrase|access_?key|stringData|kind: Secret")
    for path in CHART.rglob("*"):
        if path.is_file():
            assert not words.search(PASSWORD_FILES.sub("", path.read_text())), path


def test_only_the_gateway_and_for_prometheus_the_metrics_are_reachable() -> None:
    policies = (CHART / "templates" / "networkpolicy.yaml").read_text().split("\n---\n")
    assert len(policies) == 3
    closed, gateway, metrics = policies
    assert "ingress:" not in closed
    assert "policyTypes: [Ingress]" in closed
    assert '"name" "gateway"' in gateway
    assert re.findall(r"port: (\w+)", gateway) == ["http"]
    assert re.findall(r"port: (\w+)", metrics) == ["metrics"]
    assert "namespaceSelector" in metrics


def test_every_pod_has_probes_limits_and_no_rights() -> None:
    pod = (CHART / "templates" / "_pod.tpl").read_text()
    for needed in (
        "startupProbe:",
        "livenessProbe:",
        "readinessProbe:",
        "resources:",
        "runAsNonRoot: true",
        "readOnlyRootFilesystem: true",
        "allowPrivilegeEscalation: false",
        "capabilities: {drop: [ALL]}",
        "automountServiceAccountToken: false",
    ):
        assert needed in pod
