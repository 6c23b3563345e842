"""How a broker of ours is secured, as Kafka's own properties.

Services reach it at CLIENTS, where they sign in by SCRAM; what it says to itself (INTERNAL, and
CONTROLLER) goes over the loopback, with a password that stands in a file of its own: it is there
before the first SCRAM credential is, and also on data from before. Whom nothing is granted may do
nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from runtime.security.kafka_passwords import BROKER
from schemas.acls import ADMIN

CLIENTS: Final = "CLIENTS"
INTERNAL: Final = "INTERNAL"
CONTROLLER: Final = "CONTROLLER"
_PLAIN: Final = "org.apache.kafka.common.security.plain.PlainLoginModule"
_SCRAM: Final = "org.apache.kafka.common.security.scram.ScramLoginModule"


def as_environment(name: str) -> str:
    """The variable by which the Apache image is told a property."""
    return "KAFKA_" + name.replace("-", "___").replace(".", "_").upper()


def broker_security(directory: Path | str) -> Mapping[str, str]:
    """Properties of a broker which sees its own password's folder at `directory`."""
    password = f"${{files:{directory}:password}}"
    itself = (
        f'{_PLAIN} required username="{BROKER}" password="{password}" user_{BROKER}="{password}";'
    )
    return {
        "config.providers": "files",
        "config.providers.files.class": (
            "org.apache.kafka.common.config.provider.DirectoryConfigProvider"
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:{BROKER};User:{ADMIN}",
        "listener.security.protocol.map": ",".join(
            f"{each}:SASL_PLAINTEXT" for each in (CLIENTS, INTERNAL, CONTROLLER)
        ),
        "inter.broker.listener.name": INTERNAL,
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "sasl.mechanism.controller.protocol": "PLAIN",
        "listener.name.clients.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.clients.scram-sha-512.sasl.jaas.config": f"{_SCRAM} required;",
        "listener.name.internal.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.internal.plain.sasl.jaas.config": itself,
        "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.controller.plain.sasl.jaas.config": itself,
    }
