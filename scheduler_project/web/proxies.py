"""Whose word counts about where a request came from: that of the proxies in TRUSTED_PROXIES, and nobody else's.

The outermost middleware. It leaves a request as if the client had connected directly: its address in ``REMOTE_ADDR``
(where ``access_app.http.clients`` and every library look), and of all headers that proxies write, only
``X-Forwarded-Proto`` of a trusted one. Nothing behind it can be fooled by a header that a stranger wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from tasks_app.conf import Network

Address = IPv4Address | IPv6Address

#: What proxies write about a client, by the beginnings of names in WSGI's spelling.
_FROM_PROXIES: Final = ("HTTP_X_FORWARDED", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_X_CLIENT_IP", "HTTP_TRUE_CLIENT")
_SCHEME: Final = "HTTP_X_FORWARDED_PROTO"
_WITH_PORT: Final = re.compile(r"\[([^]]+)\](?::\d+)?|([0-9.]+):\d+")
#: Longest chain of proxies that is followed; what a client wrote in front of it costs nothing.
_MOST_PROXIES: Final = 20


class TrustedProxies:
    """Settles address and scheme of a request before anything looks at it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        settle(request.META, settings.SCHEDULER.trusted_proxies)
        return self._get_response(request)


def settle(meta: dict[str, Any], trusted: Iterable[Network]) -> None:
    """Rewrite a WSGI environment as the module says."""
    peer = address_of(meta.get("REMOTE_ADDR") or "")
    scheme, chain = meta.get(_SCHEME), meta.get("HTTP_X_FORWARDED_FOR", "")
    for name in [name for name in meta if name.startswith(_FROM_PROXIES)]:
        del meta[name]
    if peer is not None and is_trusted(peer, trusted):
        meta["REMOTE_ADDR"] = str(client_of(peer, chain, trusted))
        if scheme is not None:
            meta[_SCHEME] = scheme


def client_of(peer: Address, chain: str, trusted: Iterable[Network]) -> Address:
    """The client behind a trusted peer: in X-Forwarded-For from the right, the first address that is no trusted proxy.

    Each proxy appends who spoke to it, so what stands left of an untrusted one is only that one's claim. An entry that
    is no address ends the search at the proxy that passed it on.
    """
    client = peer
    for text in reversed(chain.rsplit(",", _MOST_PROXIES)[-_MOST_PROXIES:]):
        address = address_of(text)
        if address is None:
            return client
        client = address
        if not is_trusted(client, trusted):
            return client
    return client


def is_trusted(address: Address, trusted: Iterable[Network]) -> bool:
    return any(address in network for network in trusted)


def address_of(text: str) -> Address | None:
    """An address as proxies write it: bare, in brackets, with a port; IPv4 in its IPv6 form is IPv4."""
    text = text.strip()
    if match := _WITH_PORT.fullmatch(text):
        text = match[1] or match[2]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
