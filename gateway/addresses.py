"""Where a request comes from; X-Forwarded-For counts only from proxies that are configured."""

from collections.abc import Sequence

from starlette.requests import Request

_UNKNOWN = "unknown"
_CHARACTERS_MAX = 64


def trusted(setting: str) -> frozenset[str]:
    """The proxies of a comma-separated setting."""
    return frozenset(each.strip() for each in setting.split(",") if each.strip())


def address_of(request: Request, proxies: frozenset[str]) -> str:
    """The caller's network address, as the outermost trusted proxy saw it."""
    peer = request.client.host if request.client else _UNKNOWN
    hops = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    return _caller(peer, [each.strip() for each in hops if each.strip()], proxies)


def _caller(peer: str, hops: Sequence[str], proxies: frozenset[str]) -> str:
    """Each proxy appends whom it saw: walk back as long as the speaker is trusted."""
    address = peer
    for hop in reversed(hops):
        if address not in proxies:
            break
        address = hop[:_CHARACTERS_MAX]
    return address
