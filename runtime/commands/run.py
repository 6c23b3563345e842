"""`cnop run`: the whole system in the foreground, until Ctrl-C."""

import logging

from rich.console import Console

from runtime.devstack.config import StackConfig
from runtime.devstack.supervisor import Supervisor
from runtime.devstack.view import StatusView


def command() -> None:
    """Run Kafka, DynamoDB, every worker, gateways and feed; Ctrl-C stops all of it."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells each try to connect
    config = StackConfig()
    with StatusView(Console()) as view:
        Supervisor(config, view.show).run()
    Console().print(f"Stopped. The data stay in {config.files.directory}.", highlight=False)
