"""The accounts worker: `accounts.commands` in, `accounts.journal` out."""

from consumers.accounts.context import AccountsContext
from runtime.worker import worker_app

app = worker_app(AccountsContext())
