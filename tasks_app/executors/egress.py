"""The guard in front of HTTP tasks: to which addresses they may connect, and the only way in which they connect.

`refusal` is the decision: pure, no name, no socket. `Dialer` resolves a name, judges **every** address it got, and
connects to one of those judged, so that nothing is resolved a second time between check and connection (DNS rebinding).
How a host is written does not matter: ``2130706433``, ``0x7f.1``, ``127.1`` and full-width digits all reach the
resolver, and only what comes back is judged. What is sent over the connection is not known here (`http_transport`).

Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, 8190), IANA IPv6 Global Unicast assignments,
RFC 4291 §2.5.5 (mapped, compatible), RFC 6052 and 8215 (NAT64), 3056 (6to4), 4380 (Teredo), 5214 (ISATAP), 9637.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from urllib3.util import wait_for_write

from tasks_app.executors.http_failures import NetworkFailure, Phase, explain_connection, explain_look_up
from tasks_app.executors.lifeline import SLICE, Lifeline

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
#: As `socket.getaddrinfo` returns them: family, kind, protocol, canonical name, socket address.
AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
Resolver = Callable[[str, int], Sequence[AddressInfo]]

#: How long one of several addresses may take to accept before the next is tried, in seconds.
NEXT_ADDRESS_AFTER = 10.0

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_TEREDO = IPv6Network("2001::/32")
_SIX_TO_FOUR = IPv6Network("2002::/16")
#: Further forms that carry an IPv4 address in their last 32 bits: compatible, translated (SIIT), NAT64 for local use.
_CARRIERS = (IPv6Network("::/96"), IPv6Network("::ffff:0:0:0/96"), IPv6Network("64:ff9b:1::/48"))

_FORBIDDEN: tuple[tuple[Network, str], ...] = tuple(
    (IPv6Network(text) if ":" in text else IPv4Network(text), kind)
    for text, kind in (
        ("0.0.0.0/8", "an unspecified"),
        ("10.0.0.0/8", "a private"),
        ("100.64.0.0/10", "a carrier-internal"),
        ("127.0.0.0/8", "a loopback"),
        ("168.63.129.16/32", "a cloud host's"),  # Azure's WireServer: public space, yet the host beneath us
        ("169.254.0.0/16", "a link-local"),  # cloud metadata services live here
        ("172.16.0.0/12", "a private"),
        ("192.0.0.0/24", "a reserved"),
        ("192.0.2.0/24", "a documentation"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "a private"),
        ("198.18.0.0/15", "a benchmarking"),
        ("198.51.100.0/24", "a documentation"),
        ("203.0.113.0/24", "a documentation"),
        ("224.0.0.0/4", "a multicast"),
        ("240.0.0.0/4", "a reserved"),
        ("2001::/23", "a reserved"),  # IETF protocol assignments: Teredo, benchmarking, ORCHID; no public service
        ("2001:db8::/32", "a documentation"),
        ("2002::/16", "a 6to4"),
        ("3fff::/20", "a documentation"),
        # The rest is outside 2000::/3 and refused for that alone; these only have a name.
        ("::/128", "an unspecified"),
        ("::1/128", "a loopback"),
        ("fc00::/7", "a private"),
        ("fe80::/10", "a link-local"),
        ("fec0::/10", "a site-local"),
        ("ff00::/8", "a multicast"),
    )
)


class EgressDenied(Exception):
    """A host leads to an address that tasks may not connect to."""


class Unreachable(NetworkFailure):
    """A name did not resolve, or none of its addresses took the connection. No OSError: urllib3 swallows some."""


def refusal(address: Address, allowed: Sequence[Network] = ()) -> str | None:
    """Say why tasks may not connect to ``address`` ("a loopback address"), or None when they may.

    Public means: global unicast and not set aside for anything. IPv4 inside IPv6 is unwrapped, and every part must be
    public or in an ``allowed`` network. Mapped and NAT64 addresses *are* their IPv4 address; with all other wrappers
    the wrapper is judged as well.
    """
    for part in _parts(address):
        if any(part in network for network in allowed):
            continue
        if (kind := _special_kind(part)) is not None:
            return f"{kind} address"
    return None


def _special_kind(address: Address) -> str | None:
    for network, kind in _FORBIDDEN:
        if address in network:
            return kind
    return None if address.version == 4 or address in _GLOBAL_UNICAST else "a non-public"


def _parts(address: Address) -> Iterator[Address]:
    """The addresses by which an address is judged: itself, what is embedded in it, or both."""
    if isinstance(address, IPv4Address):
        yield address
        return
    bits = int(address)
    last = IPv4Address(bits & 0xFFFF_FFFF)
    if address in _MAPPED or address in _NAT64:
        yield last
        return
    yield address
    isatap = (bits >> 32) & 0xFDFF_FFFF == 0x0000_5EFE
    if bits > 1 and (isatap or any(address in network for network in _CARRIERS)):
        yield last
    elif address in _SIX_TO_FOUR:
        yield IPv4Address(bits >> 80 & 0xFFFF_FFFF)
    elif address in _TEREDO:
        yield IPv4Address(bits >> 64 & 0xFFFF_FFFF)  # its server
        yield IPv4Address(bits & 0xFFFF_FFFF ^ 0xFFFF_FFFF)  # its client, stored inverted


def system_resolver(host: str, port: int) -> Sequence[AddressInfo]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


class Dialer:
    """Connects one attempt to hosts, through the guard. Ends early with `Stopped` when the attempt is stopped."""

    def __init__(
        self, lifeline: Lifeline, *, allowed: Sequence[Network] = (), resolver: Resolver = system_resolver
    ) -> None:
        self._lifeline = lifeline
        self._allowed = allowed
        self._resolver = resolver

    def __call__(self, host: str, port: int) -> socket.socket:
        """Return a connected socket. Raises `EgressDenied`, `Unreachable` or `Stopped`.

        One forbidden address among several is enough to refuse: which one gets connected to would be up to chance and
        to whoever owns the name.
        """
        found = self._resolve(host, port)
        for *_, sockaddr in found:
            self._judge(host, sockaddr)
        self._lifeline.enter(Phase.CONNECT)
        problem: OSError | None = None
        for index, info in enumerate(found):
            limit = NEXT_ADDRESS_AFTER if index < len(found) - 1 else self._lifeline.remaining
            try:
                return self._connect(host, info, limit)
            except OSError as error:
                problem = error
        words = explain_connection(problem) if problem else "the name has no address"
        raise Unreachable(f"no connection to {host[:255]} port {port}: {words}")

    def _resolve(self, host: str, port: int) -> Sequence[AddressInfo]:
        self._lifeline.enter(Phase.LOOK_UP)
        numeric = socket.AI_NUMERICHOST  # asks nobody, so it cannot hang
        try:
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=numeric)
        except (OSError, UnicodeError):
            pass
        try:
            return self._lifeline.run_aside(lambda: self._resolver(host, port))
        except (OSError, UnicodeError) as error:
            raise Unreachable(f"the name {host[:255]} does not resolve: {explain_look_up(error)}") from None

    def _judge(self, host: str, sockaddr: tuple[Any, ...]) -> None:
        try:
            reason = refusal(ip_address(sockaddr[0]), self._allowed)
        except ValueError:
            reason = "something that is no IP address"
        if reason is not None:  # names the kind only: addresses inside are nobody's business
            raise EgressDenied(
                f"{host[:255]} leads to {reason}; allowed are public ones and HTTP_ALLOWED_PRIVATE_NETWORKS"
            )

    def _connect(self, host: str, info: AddressInfo, limit: float) -> socket.socket:
        family, kind, protocol, _, sockaddr = info
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._await_connection(sock, sockaddr, limit)
            self._judge(host, sock.getpeername())
            self._lifeline.hold(sock)
            sock.settimeout(self._lifeline.remaining or SLICE)
        except BaseException:
            sock.close()
            raise
        return sock

    def _await_connection(self, sock: socket.socket, sockaddr: tuple[Any, ...], limit: float) -> None:
        """Connect without blocking: not every system lets ``shutdown`` wake a connect under way, so look round."""
        until = time.monotonic() + limit
        sock.setblocking(False)
        code = sock.connect_ex(sockaddr)
        if code == errno.EINPROGRESS:
            while not wait_for_write(sock, timeout=SLICE):
                self._lifeline.check()
                if time.monotonic() >= until:
                    raise TimeoutError(errno.ETIMEDOUT, "no answer to the connection attempt")
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
