"""Who may open an association: by called and calling AE title, and by address."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from worker.domain.errors import ConfigurationError

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """Who may open an association. AE titles and addresses are a filter, not authentication.

    Empty tuples mean: anybody. ``networks`` are addresses or CIDR networks ("10.1.0.0/16").
    """

    require_called_ae_title: bool = True
    calling_ae_titles: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    _parsed: tuple[IPNetwork, ...] = field(init=False, repr=False, default=())

    def __post_init__(self) -> None:
        try:
            parsed = tuple(ipaddress.ip_network(text, strict=False) for text in self.networks)
        except ValueError as error:
            raise ConfigurationError(
                "An allowed network of the listener is neither an address nor a network.",
                next_step='Write it as "10.1.2.3" or "10.1.0.0/16".',
                code="bad-network",
            ) from error
        object.__setattr__(self, "_parsed", parsed)

    def admits_address(self, address: str) -> bool:
        """Tell whether a peer with this IP address may connect."""
        if not self._parsed:
            return True
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        return any(ip in network for network in self._parsed)

    def admits_calling(self, calling_ae_title: str) -> bool:
        """Tell whether this calling AE title is on the list."""
        return not self.calling_ae_titles or calling_ae_title in self.calling_ae_titles
