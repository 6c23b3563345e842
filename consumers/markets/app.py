"""The markets worker: `app` is its FastStream application."""

from runtime.worker import worker_app

from consumers.markets.context import MarketsContext

app = worker_app(MarketsContext())
