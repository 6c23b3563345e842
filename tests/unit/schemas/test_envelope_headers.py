"""What the headers of a record may hold, whoever wrote them."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.envelope import header_map

VALUES = st.one_of(st.none(), st.binary(max_size=20), st.text(max_size=20).map(str.encode))


@given(st.dictionaries(st.text(max_size=5), VALUES))
def test_every_header_can_be_read_as_text(headers: dict[str, bytes | None]) -> None:
    read = header_map(headers.items())
    assert read.keys() == headers.keys()
    for name, value in headers.items():
        text = read[name].decode()
        if value is None:
            assert text == ""
        elif text.encode() != value:
            assert "\ufffd" in text


def test_text_stays_as_it_was() -> None:
    headers = [("a", b"1"), ("b", "é".encode()), ("a", b"2")]
    assert header_map(headers) == {"a": b"2", "b": "é".encode()}
