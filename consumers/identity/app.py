"""The identity worker: `faststream run consumers.identity.app:app`."""

from consumers.identity.context import IdentityContext
from runtime.worker import worker_app

app = worker_app(IdentityContext())
