"""What clients see of the journals while a run goes on, fenced writers' records too."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from runtime.log import Record
from runtime.simulation.log import Broker
from schemas import accounts, identity
from simulation.laws import ENDS

_ENDS: Final = frozenset(each.TYPE for each in ENDS)
_JOURNAL: Final = "accounts.journal"
_IDENTITY_JOURNAL: Final = "identity.journal"


@dataclass(frozen=True)
class Session:
    """A session that once started, and its refresh tokens' HMACs by generation."""

    username_hmac: str
    session_id: str
    tokens: list[str] = field(default_factory=lambda: ["first"])


class Seen:
    """Reads what is new whenever it is asked; `sellers` are those who bought, by symbol."""

    def __init__(self, broker: Broker) -> None:
        self.sellers: Final[dict[str, set[str]]] = defaultdict(set)
        self._broker: Final = broker
        self._open: Final[dict[str, tuple[str, accounts.Order]]] = {}
        self._priced: Final[set[str]] = set()
        self._looked_at: Final = {
            each: [0] * broker.partitions[each] for each in (_JOURNAL, _IDENTITY_JOURNAL)
        }
        self._sessions: Final[dict[str, Session]] = {}
        self._users: Final[list[identity.User]] = []

    def orders(self) -> list[tuple[str, accounts.Order]]:
        """Open orders, as they were accepted, each with whose it is."""
        self._look_at_accounts()
        return list(self._open.values())

    def sessions(self) -> list[Session]:
        """Sessions that started, whether they ended or not, with all refresh tokens given."""
        self._look_at_identity()
        return list(self._sessions.values())

    def users(self) -> list[identity.User]:
        """Everybody who ever registered, as they did."""
        self._look_at_identity()
        return self._users

    def priced(self) -> list[str]:
        """Symbols for which some partition of accounts can accept orders."""
        self._look_at_accounts()
        return sorted(self._priced)

    def _look_at_accounts(self) -> None:
        for record in self._new(_JOURNAL):
            self._look_at(record)

    def _look_at_identity(self) -> None:
        for record in self._new(_IDENTITY_JOURNAL):
            self._look_at_person(record)

    def _new(self, journal: str) -> Iterator[Record]:
        looked_at = self._looked_at[journal]
        for number, offset in enumerate(looked_at):
            records = self._broker.records((journal, number))
            yield from records[offset:]
            looked_at[number] = len(records)

    def _look_at_person(self, record: Record) -> None:
        kind = dict(record.headers)["ce_type"].decode()
        if kind == identity.SessionStarted.TYPE:
            event = identity.EVENTS.decode(kind, record.value or b"")
            assert isinstance(event, identity.SessionStarted)
            self._sessions[event.session_id] = Session(event.username_hmac, event.session_id)
        elif kind == identity.SessionRefreshed.TYPE:
            event = identity.EVENTS.decode(kind, record.value or b"")
            assert isinstance(event, identity.SessionRefreshed)
            tokens = self._sessions[event.session_id].tokens
            tokens[event.generation :] = [event.refresh_hmac]
        elif kind == identity.UserRegistered.TYPE:
            event = identity.EVENTS.decode(kind, record.value or b"")
            assert isinstance(event, identity.UserRegistered)
            self._users.append(event.user)

    def _look_at(self, record: Record) -> None:
        kind = record.by_name()["ce_type"].decode()
        if kind == accounts.CollarSet.TYPE:
            event = accounts.EVENTS.decode(kind, record.value or b"")
            assert isinstance(event, accounts.CollarSet)
            self._priced.add(event.symbol)
        elif kind == accounts.OrderAccepted.TYPE:
            event = accounts.EVENTS.decode(kind, record.value or b"")
            assert isinstance(event, accounts.OrderAccepted)
            self._open[event.order.order_id] = (event.account_id, event.order)
        elif kind == accounts.OrderTraded.TYPE:
            event = accounts.EVENTS.decode(kind, record.value or b"")
            assert isinstance(event, accounts.OrderTraded)
            self.sellers[event.order.symbol].add(event.account_id)
        elif kind in _ENDS:
            event = accounts.EVENTS.decode(kind, record.value or b"")
            assert isinstance(event, ENDS)
            self._open.pop(event.order.order_id, None)
