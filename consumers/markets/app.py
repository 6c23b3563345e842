"""The markets worker: `app` is its FastStream application."""

from consumers.markets.context import MarketsContext
from runtime.worker import worker_app

app = worker_app(MarketsContext())
