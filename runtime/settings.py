"""Settings of every process, from `CNOP_*` environment variables."""

from functools import lru_cache
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What can be set; units stand last in the names."""

    model_config = SettingsConfigDict(env_prefix="CNOP_", frozen=True, env_parse_none_str="none")

    kafka_bootstrap: str = "127.0.0.1:9092"
    dynamodb_endpoint: str | None = "http://127.0.0.1:8000"
    aws_region: str = "us-east-1"
    namespace: str = Field(default="", pattern=r"^[a-z0-9-]{0,40}$")
    """Prefix of every topic, group and table, so that several systems share the servers."""
    state_dir: Path = Path(".cnop")
    jars_dir: Path | None = None
    """Where the local servers' jars lie; `<state_dir>/jars` when not set."""
    secrets_dir: Path | None = None
    """Where keys lie, each in a file; `<state_dir>/secrets` when not set."""
    vault_kms_key: str | None = Field(default=None, min_length=1)
    """Id, ARN or alias of the AWS KMS key that wraps the vault's keys; they lie in their table as
    they are when not set. Gateways and auth need kms:Encrypt and kms:Decrypt with it."""
    partitions: int | None = Field(default=None, ge=1, le=64)
    """Partitions of inboxes and journals when topics are created; the registry's when not set."""
    snapshot_every_records: int = Field(default=20_000, ge=1)
    """Journal records of a partition after which its worker writes snapshots again."""
    instance: str | None = None
    """A name of this process's place that outlives it: what is restarted under it gets its
    partitions back at once, instead of when the group has missed it for seconds (KIP-345)."""
    log_level: str = "INFO"
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    """Port of /metrics; 0 means none."""
    gateway_host: str = "127.0.0.1"
    gateway_port: int = 8080
    trusted_proxies: str = ""
    """Addresses, separated by commas, whose X-Forwarded-For is believed."""
    command_deadline_ms: int = 2_000
    access_token_s: int = 900
    verdict_cache_s: float = 5.0
    feed_speed: float = Field(default=1.0, ge=1, le=100)
    """How many times faster than recorded the feed runs."""
    feed_seed: int = 1
    """Seed of the simulated markets."""

    insights_url: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    """Base URL of a server with OpenAI's chat completions, such as `http://127.0.0.1:11434/v1`;
    without one, rules write the insights."""
    insights_model: str = Field(default="", max_length=100)
    """The language model's name there."""
    insights_key_file: Path | None = None
    """A file with the key for that server, where it wants one."""
    insights_timeout_s: float = Field(default=5.0, gt=0, le=30)

    @model_validator(mode="after")
    def _names_its_model(self) -> Self:
        if self.insights_url is not None and not self.insights_model:
            raise ValueError("CNOP_INSIGHTS_URL needs CNOP_INSIGHTS_MODEL")
        return self

    @property
    def jars(self) -> Path:
        """The directory of the local servers' jars."""
        return self.jars_dir or self.state_dir / "jars"

    @property
    def secrets(self) -> Path:
        """The directory of key files."""
        return self.secrets_dir or self.state_dir / "secrets"

    def topic(self, name: str) -> str:
        """A registry topic's name on this broker."""
        return f"{self.namespace}{name}"

    def table(self, name: str) -> str:
        """A table's name on this DynamoDB."""
        return f"{self.namespace}cnop-{name}"


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process."""
    return Settings()
