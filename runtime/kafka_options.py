"""How every client of ours reaches Kafka: where it is, over what, and as whom.

Without a username no client signs in, so plain brokers go on working. A password is read when a
client is made: what is restarted after a rotation signs in with the new one.
"""

import ssl
from typing import Any, Final

from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from runtime.settings import Settings

_SECURITY: Final = {
    "SCRAM-SHA-512": SASLScram512,
    "SCRAM-SHA-256": SASLScram256,
    "PLAIN": SASLPlaintext,
}


def kafka_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments that every aiokafka client gets.

    Raises:
        OSError: the password's or the authority's file cannot be read.
    """
    secured = "SASL_" if settings.kafka_username else ""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap,
        "security_protocol": secured + ("SSL" if settings.kafka_tls else "PLAINTEXT"),
        "ssl_context": _tls(settings),
    }
    if secured:
        options |= {
            "sasl_mechanism": settings.kafka_mechanism,
            "sasl_plain_username": settings.kafka_username,
            "sasl_plain_password": _password(settings),
        }
    return options


def kafka_security(settings: Settings) -> BaseSecurity:
    """The same for a FastStream broker, beside its bootstrap address.

    Raises:
        OSError: the password's or the authority's file cannot be read.
    """
    if not settings.kafka_username:
        return BaseSecurity(ssl_context=_tls(settings))
    chosen = _SECURITY[settings.kafka_mechanism]
    return chosen(settings.kafka_username, _password(settings), ssl_context=_tls(settings))


def _password(settings: Settings) -> str:
    """This process's password, from the setting or its file.

    Raises:
        OSError: the file cannot be read.
    """
    if settings.kafka_password_file is not None:
        return settings.kafka_password_file.read_text().strip()
    return settings.kafka_password.get_secret_value()


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if not settings.kafka_tls:
        return None
    return ssl.create_default_context(cafile=settings.kafka_ca_file)
