import pytest
from starlette.requests import Request

from gateway.addresses import address_of, trusted


def request(*forwarded: str) -> Request:
    headers = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    return Request({"type": "http", "client": ("10.0.0.1", 1), "headers": headers})


@pytest.mark.parametrize("forwarded", [(), ("1.2.3.4",), ("1.2.3.4, 5.6.7.8",)])
def test_nobody_is_believed_unless_configured(forwarded: tuple[str, ...]) -> None:
    assert address_of(request(*forwarded), trusted("")) == "10.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ((), "10.0.0.1"),
        (("1.2.3.4",), "1.2.3.4"),
        (("9.9.9.9, 1.2.3.4",), "1.2.3.4"),
        (("9.9.9.9, 1.2.3.4, 10.0.0.2",), "1.2.3.4"),
        (("9.9.9.9", "1.2.3.4"), "1.2.3.4"),
        ((" , ",), "10.0.0.1"),
    ],
)
def test_a_trusted_proxy_says_whom_it_saw(forwarded: tuple[str, ...], address: str) -> None:
    assert address_of(request(*forwarded), trusted("10.0.0.1, 10.0.0.2")) == address
