"""The servers of a run: those that CNOP_* names, or local ones started for it alone."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from runtime.devstack.local import for_use
from runtime.security.kafka_passwords import password_file
from runtime.settings import Settings
from schemas.acls import ADMIN


@contextmanager
def servers() -> Iterator[Settings]:
    """Settings with a broker, a DynamoDB and a namespace of this run.

    Raises:
        CannotStart: no servers are named and none can be started.
    """
    settings = Settings()
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cnop-bench-")))
        found: dict[str, object] = {"namespace": settings.namespace or f"bench{os.getpid():x}-"}
        if "CNOP_KAFKA_BOOTSTRAP" not in os.environ:
            kafka = for_use(settings.jars).kafka(
                place / "kafka", log=place / "k.log", credentials=place / "credentials"
            )
            stack.callback(kafka.stop)
            found["kafka_bootstrap"] = kafka.start().bootstrap
            found["kafka_username"] = ADMIN
            found["kafka_password_file"] = password_file(place / "credentials", ADMIN)
        if "CNOP_DYNAMODB_ENDPOINT" not in os.environ:
            dynamodb = for_use(settings.jars).dynamodb(None, log=place / "d.log")
            stack.callback(dynamodb.stop)
            found["dynamodb_endpoint"] = dynamodb.start().endpoint
        yield settings.model_copy(update=found)
