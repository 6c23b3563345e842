from consumers.auditor.reader import Reader
from runtime.log import Record
from schemas import accounts
from schemas.accounts import FundsDeposited, Posting
from schemas.codec import Message, encode
from schemas.envelope import CE_TYPE, SOURCE_OFFSET, WRITER_EPOCH
from schemas.journal import WriterClaimed
from schemas.topics import ACCOUNTS_JOURNAL

PLACE = (ACCOUNTS_JOURNAL, 0)


def record(offset: int, event: Message, *, epoch: int) -> Record:
    headers = [
        (CE_TYPE, event.TYPE.encode()),
        (WRITER_EPOCH, b"%d" % epoch),
        (SOURCE_OFFSET, b"%d" % offset),
    ]
    return Record(offset, 1_000, None, encode(event), headers)


def deposit(amount_e8: int, external_e8: int) -> FundsDeposited:
    return FundsDeposited(
        account_id="a",
        transaction_id="t",
        amount_e8=amount_e8,
        day_total_e8=amount_e8,
        holdings=(),
        postings=(
            Posting("a", accounts.CASH, "free", amount_e8),
            Posting("external", accounts.CASH, "free", external_e8),
        ),
    )


def test_a_record_of_a_fenced_writer_counts_for_nothing() -> None:
    reader = Reader()
    reader.take(PLACE, record(0, WriterClaimed(), epoch=1))
    reader.take(PLACE, record(1, WriterClaimed(), epoch=2))
    assert reader.take(PLACE, record(2, deposit(5, 0), epoch=1)) is None
    assert reader.snapshot(1_000)["imbalance_e8"] == {}
    assert reader.next_offsets == {PLACE: 3}


def test_the_snapshot_says_what_is_out_of_balance() -> None:
    reader = Reader()
    reader.take(PLACE, record(0, WriterClaimed(), epoch=1))
    reader.take(PLACE, record(1, deposit(5, -5), epoch=1))
    reader.take(PLACE, record(2, deposit(7, -6), epoch=1))
    snapshot = reader.snapshot(2_000)
    assert snapshot["imbalance_e8"] == {"USD": "1"}
    assert snapshot["faults"]["unbalanced-event"] == 1
    assert snapshot["next_offsets"] == {"accounts.journal/0": 3}
    assert snapshot["unmatched"] == {
        "trade": {"count": 0, "age_s": 0.0},
        "leg": {"count": 0, "age_s": 0.0},
    }
