"""Where a request comes from; X-Forwarded-For counts only from proxies that are configured."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network

from starlette.types import Scope

from runtime.security.proxies import Proxies

_UNKNOWN = "unknown"
_CHARACTERS_MAX = 64
_IPV6_PREFIX = 64


@lru_cache(maxsize=16)
def trusted(setting: str) -> Proxies:
    """The proxies of a comma-separated setting.

    Raises:
        ValueError: something in it is neither an address nor a network.
    """
    return Proxies(setting)


def address_in(scope: Scope, proxies: Proxies) -> str:
    """The caller's network address, as the outermost trusted proxy saw it."""
    client = scope.get("client")
    peer: str = client[0] if client else _UNKNOWN
    if peer not in proxies:
        return peer
    said = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
    hops = said.decode("latin-1").split(",")
    return _caller(peer, [each.strip() for each in hops if each.strip()], proxies)


def network_in(scope: Scope, proxies: Proxies) -> str:
    """The caller as attempts and rates count: see `network_of`."""
    return network_of(address_in(scope, proxies))


@lru_cache(maxsize=4_096)
def network_of(address: str) -> str:
    """What is limited as one caller: an IPv4 address, or an IPv6 host's /64."""
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((parsed, _IPV6_PREFIX), strict=False))


def _caller(peer: str, hops: Sequence[str], proxies: Proxies) -> str:
    """Each proxy appends whom it saw: walk back as long as the speaker is trusted."""
    address = peer
    for hop in reversed(hops):
        if address not in proxies:
            break
        address = hop[:_CHARACTERS_MAX]
    return address
