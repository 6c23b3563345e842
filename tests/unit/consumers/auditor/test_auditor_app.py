"""No journal record is kept from the auditor."""

from aiokafka.structs import ConsumerRecord
from faststream.kafka.message import KafkaMessage

from consumers.auditor.app import Auditor, application
from runtime.settings import Settings


async def test_records_whose_headers_are_no_text_reach_the_auditor() -> None:
    auditor = Auditor(Settings())
    app = application(Settings(), auditor)
    assert app.broker is not None
    (subscriber,) = app.broker.subscribers
    record = ConsumerRecord(
        "accounts.journal", 0, 0, 0, 1, None, b"{}", None, 0, 2, (("ce_type", b"\xff"),)
    )
    parse, _ = subscriber._get_parser_and_decoder()
    parsed = await parse((record,))
    assert isinstance(parsed, KafkaMessage)
    assert parsed.raw_message == (record,)
