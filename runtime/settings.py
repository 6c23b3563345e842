"""Settings of every process, from `CNOP_*` environment variables."""

from functools import lru_cache
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from runtime.security.proxies import Proxies


class Settings(BaseSettings):
    """What can be set; units stand last in the names."""

    model_config = SettingsConfigDict(env_prefix="CNOP_", frozen=True, env_parse_none_str="none")

    kafka_bootstrap: str = "127.0.0.1:9092"
    kafka_username: str = ""
    """The principal as which this process signs in to Kafka; without one it does not."""
    kafka_password: SecretStr = SecretStr("")
    kafka_password_file: Path | None = None
    """A file with the password instead."""
    kafka_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    kafka_tls: bool = False
    """Whether Kafka is reached over TLS, as services on other machines should."""
    kafka_ca_file: Path | None = None
    """The authority of Kafka's certificate; those of this machine when not set."""
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
    """Addresses and networks, separated by commas, whose X-Forwarded-For is believed."""
    profile: Literal["standard", "test"] = "standard"
    """`test` lifts all limits of rates and connections, for tests and benchmarks."""
    rate_address_per_s: float = Field(default=50, gt=0, le=1_000_000)
    """Requests of one network address in the long run (of IPv6, a /64 network)."""
    rate_address_burst: int = Field(default=300, ge=1, le=1_000_000)
    """Requests of one address at once."""
    rate_orders_per_s: float = Field(default=100, gt=0, le=1_000_000)
    """Orders placed, checked or changed by one user in the long run."""
    rate_orders_burst: int = Field(default=200, ge=1, le=1_000_000)
    """Orders of one user at once."""
    rate_redis_url: str | None = Field(default=None, pattern=r"^rediss?://[^\s]+$")
    """A Redis where gateways of several machines count together; without one, those that share
    `state_dir` do."""
    connections_per_address: int = Field(default=256, ge=1)
    """Open connections of one address to one gateway process; trusted proxies may have more."""
    request_arrival_s: float = Field(default=10.0, gt=0, le=300)
    """How long a request may take to arrive whole, and a new connection to begin one."""
    keep_alive_s: int = Field(default=75, ge=1, le=3_600)
    """How long a connection may be idle between requests."""
    tls_certificate_file: Path | None = None
    """A PEM chain; with it and its key the gateway speaks HTTPS alone."""
    tls_key_file: Path | None = None
    """The certificate's private key, PEM without a passphrase."""
    cors_origins: str = ""
    """Origins, separated by commas, whose pages may read answers: `https://trade.example`."""
    command_deadline_ms: int = 2_000
    access_token_s: int = Field(default=900, ge=1)
    refresh_token_s: int = Field(default=30 * 86_400, ge=1)
    """How long a session lives that is not refreshed."""
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

    @model_validator(mode="after")
    def _can_sign_in(self) -> Self:
        has_password = bool(self.kafka_password.get_secret_value() or self.kafka_password_file)
        if bool(self.kafka_username) != has_password:
            raise ValueError(
                "CNOP_KAFKA_USERNAME and CNOP_KAFKA_PASSWORD (or CNOP_KAFKA_PASSWORD_FILE) go "
                "together"
            )
        return self

    @field_validator("trusted_proxies")
    @classmethod
    def _is_readable(cls, setting: str) -> str:
        Proxies(setting)
        return setting

    @model_validator(mode="after")
    def _has_both_tls_files(self) -> Self:
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError("CNOP_TLS_CERTIFICATE_FILE and CNOP_TLS_KEY_FILE go together")
        return self

    @property
    def has_limits(self) -> bool:
        """Whether rates and connections are limited."""
        return self.profile != "test"

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
