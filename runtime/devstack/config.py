"""What to run where: the local stack's own settings, read from the environment."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from runtime.devstack.processes import METRICS_BASE, Planned, plan
from runtime.devstack.state import StateFiles
from runtime.settings import Settings


class StackConfig(BaseSettings):
    """The local stack; servers that are named (not None) are used, others are started."""

    model_config = SettingsConfigDict(env_prefix="CNOP_", frozen=True)

    state_dir: Path = Path(".cnop")
    kafka_bootstrap: str | None = None
    kafka_credentials_dir: Path | None = None
    """Where the passwords of a named broker's principals lie, `<principal>/password` each; without
    it every process signs in as `CNOP_KAFKA_USERNAME` says, or not at all."""
    dynamodb_endpoint: str | None = None
    kafka_port: int = Field(default=9092, ge=1, le=65_535)
    dynamodb_port: int = Field(default=8000, ge=1, le=65_535)
    gateway_host: str = "127.0.0.1"
    gateway_port: int = Field(default=8080, ge=1, le=65_535)
    gateways: int = Field(default=2, ge=1, le=8)
    """How many gateway processes share `gateway_port`."""
    gateway_ports: tuple[int, ...] = ()
    """One gateway on each of these instead."""
    tls_certificate_file: Path | None = None
    """What the gateways show, when they speak HTTPS."""
    metrics_base: int = Field(default=METRICS_BASE, ge=0, le=65_000)
    """Metrics ports are this one and those above it; 0 means none."""

    @property
    def files(self) -> StateFiles:
        """The state directory's files."""
        return StateFiles(self.state_dir)

    @property
    def ports(self) -> tuple[int, ...]:
        """The port of each gateway process."""
        return self.gateway_ports or (self.gateway_port,) * self.gateways

    @property
    def urls(self) -> tuple[str, ...]:
        """Where the gateways are."""
        scheme = "https" if self.tls_certificate_file else "http"
        ports = dict.fromkeys(self.ports)
        return tuple(f"{scheme}://{self.gateway_host}:{port}" for port in ports)

    def processes(self) -> tuple[Planned, ...]:
        """What it runs, in order."""
        return plan(self.ports, metrics_base=self.metrics_base)


def environment(config: StackConfig, *, bootstrap: str, endpoint: str) -> dict[str, str]:
    """The environment of the stack's processes: this one's, and where the servers are."""
    return os.environ | {
        "CNOP_KAFKA_BOOTSTRAP": bootstrap,
        "CNOP_DYNAMODB_ENDPOINT": endpoint,
        "CNOP_STATE_DIR": str(config.files.directory),
        "CNOP_GATEWAY_HOST": config.gateway_host,
        "PYTHONPATH": os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH")))),
        "PYTHONUNBUFFERED": "1",
    }


def settings_in(variables: Mapping[str, str]) -> Settings:
    """The settings that a process with this environment has."""
    named = {
        name: variables[key]
        for name in Settings.model_fields
        if (key := f"CNOP_{name}".upper()) in variables
    }
    return Settings.model_validate(named)


_ROOT = str(Path(__file__).parents[2])
