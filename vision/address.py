"""Where a camera URL may point: its host is looked up once, checked against the allowed networks, and pinned.

Without the pin a name could answer one address to the check and another to the connection.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from ioc.errors import SourceError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

PORTS: Final = {"http": 80, "https": 443, "rtsp": 554, "rtsps": 322}

Lookup = Callable[[str, int], Iterable[str]]


class Place(msgspec.Struct, frozen=True):
    """A URL with its address.

    Attributes:
        url: with the address in the place of the host, without user and password.
        host: as given, with the port where it is not the usual one; for the Host header.
        name: as given, without the port; for TLS.
        user: "" without.
        password: never shown; see `redacted`.
    """

    url: str
    host: str
    name: str
    user: str
    password: str


def networks(allow: Sequence[str]) -> list[Network]:
    """The allowed networks, each as `capture_allow` takes it."""
    return [ipaddress.ip_network(text, strict=False) for text in allow]


def redacted(url: str) -> str:
    """The URL for logs: without user, password, query and fragment, any of which may hold a secret.

    >>> redacted("rtsp://admin:secret@cam.example:554/live?token=x")
    'rtsp://cam.example:554/live'
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a malformed URL"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def allowed(address: Address, allow: Iterable[Network]) -> bool:
    """Whether an address lies in an allowed network.

    Loopback and link-local (where clouds keep their secrets) need a network that names just them: a wide one such as
    0.0.0.0/0 does not open them. What is no single host's address is never allowed.
    """
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_multicast or address.is_unspecified or address == ipaddress.ip_address("255.255.255.255"):
        return False
    fitting = [network for network in allow if address in network]
    if address.is_loopback:
        return any(network.is_loopback for network in fitting)
    if address.is_link_local:
        return any(network.is_link_local for network in fitting)
    return bool(fitting)


def look_up(host: str, port: int) -> list[str]:
    """Every address of a host, by the system's resolver."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def pin(url: str, allow: Iterable[Network], lookup: Lookup = look_up) -> Place:
    """Look up a URL's host, once, and put an allowed address in its place.

    Raises:
        SourceError: another scheme, no host, an unknown host, or no address in the allowed networks.
    """
    try:
        parts: Any = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SourceError(f"{redacted(url)}: {error}") from error
    if parts.scheme not in PORTS or not parts.hostname:
        raise SourceError(f"{redacted(url)}: expected one of {', '.join(PORTS)}://host/path")
    try:
        found = [
            ipaddress.ip_address(text.partition("%")[0]) for text in lookup(parts.hostname, port or PORTS[parts.scheme])
        ]
    except (OSError, UnicodeError) as error:
        raise SourceError(f"{redacted(url)}: the host cannot be found: {error}") from error
    nets = list(allow)
    good = next((address for address in found if allowed(address, nets)), None)
    if good is None:
        got = ", ".join(sorted({str(address) for address in found})) or "nothing"
        raise SourceError(
            f"{redacted(url)}: is at {got}, expected an address in {', '.join(map(str, nets)) or 'no network at all'};"
            " name its network in capture_allow"
        )
    literal = f"[{good}]" if good.version == 6 else str(good)
    at = literal if port is None else f"{literal}:{port}"
    return Place(
        urlunsplit((parts.scheme, at, parts.path or "/", parts.query, "")),
        parts.netloc.rpartition("@")[2],
        parts.hostname,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )
