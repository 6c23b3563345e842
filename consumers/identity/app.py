"""The identity worker: `faststream run consumers.identity.app:app`."""

from runtime.worker import worker_app

from consumers.identity.context import IdentityContext

app = worker_app(IdentityContext())
