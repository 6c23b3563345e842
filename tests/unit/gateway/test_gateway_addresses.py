from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import ValidationError
from starlette.requests import Request
from starlette.types import Scope

from gateway.addresses import address_in, trusted
from gateway.identity import _address_of
from runtime.settings import Settings


def request(*forwarded: str) -> Scope:
    headers = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    return {"type": "http", "client": ("10.0.0.1", 1), "headers": headers}


@pytest.mark.parametrize("forwarded", [(), ("1.2.3.4",), ("1.2.3.4, 5.6.7.8",)])
def test_nobody_is_believed_unless_configured(forwarded: tuple[str, ...]) -> None:
    assert address_in(request(*forwarded), trusted("")) == "10.0.0.1"


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
    assert address_in(request(*forwarded), trusted("10.0.0.1, 10.0.0.2")) == address


def test_a_network_of_proxies_is_trusted_as_a_whole() -> None:
    proxies = trusted("10.0.0.0/30, 2001:db8::/32")
    assert address_in(request("1.2.3.4, 10.0.0.2"), proxies) == "1.2.3.4"
    assert address_in(request("1.2.3.4, 10.0.0.9"), proxies) == "10.0.0.9"
    assert "2001:db8::7" in proxies
    assert "unknown" not in proxies


def test_attempts_of_an_ipv6_host_count_for_its_network() -> None:
    services = cast("Any", SimpleNamespace(settings=Settings(trusted_proxies="10.0.0.1")))
    hosts = [request(f"2001:db8:1:2::{n}") for n in (1, 2)]
    assert {_address_of(Request(each), services) for each in hosts} == {"2001:db8:1:2::/64"}


def test_what_is_no_address_cannot_be_trusted() -> None:
    with pytest.raises(ValidationError, match="IPv4 or IPv6"):
        Settings(trusted_proxies="10.0.0")
