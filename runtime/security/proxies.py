"""Whom the gateway believes about where a request comes from."""

from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Final

_REMEMBERED: Final = 4_096


class Proxies:
    """Trusted addresses and networks (`10.0.0.1, 10.1.0.0/16`); empty trusts nobody."""

    def __init__(self, setting: str) -> None:
        """Read a setting.

        Raises:
            ValueError: something in it is neither an address nor a network.
        """
        named = (each.strip() for each in setting.split(","))
        self._networks: Final = tuple(ip_network(each) for each in named if each)
        self._knows: Final = lru_cache(_REMEMBERED)(self._is_within)

    def __contains__(self, address: str) -> bool:
        return bool(self._networks) and self._knows(address)

    def _is_within(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in each for each in self._networks)
