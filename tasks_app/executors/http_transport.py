"""A `requests.Session` for one attempt whose every connection is made by the guard in `egress`.

The session is made anew for each attempt (some 20 µs) and carries nothing over: no connection that a later change of
DNS or settings would not see, no cookie, no proxy and no credentials from the environment or ``.netrc``.
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import certifi
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import HTTPResponse
from urllib3.util.ssl_ import create_urllib3_context

from tasks_app.executors.http_failures import Phase
from tasks_app.executors.http_framing import Response

Dial = Callable[[str, int], socket.socket]
Enter = Callable[[Phase], None]

# Its warnings and debug lines carry whole URLs, and a peer can cause them at will.
logging.getLogger("urllib3").setLevel(logging.ERROR)


def trusted_roots() -> ssl.SSLContext:
    """A TLS client context that trusts certifi's roots and the system's (also ``SSL_CERT_FILE``, for a company CA).

    Takes some 30 ms. urllib3 changes the context at each connection, so threads must not share one.
    """
    context = create_urllib3_context()
    context.load_verify_locations(certifi.where())
    context.load_default_certs()
    return context


class _GuardedConnection(HTTPConnection):
    def __init__(self, *args: Any, dial: Dial, enter: Enter, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._dial = dial
        self._enter = enter
        self.response_class = partial(Response, on_status=partial(enter, Phase.HEADERS))  # type: ignore[assignment]

    def _new_conn(self) -> socket.socket:
        """The one place where urllib3 opens a socket. ``Host``, SNI and the certificate keep to the name."""
        sock = self._dial(self._dns_host, self.port)
        self._enter(Phase.SEND)
        return sock

    def getresponse(self) -> HTTPResponse:  # type: ignore[override] # as urllib3 does
        self._enter(Phase.WAIT)
        return super().getresponse()


class _GuardedTlsConnection(_GuardedConnection, HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        self._enter(Phase.HANDSHAKE)
        return sock

    def connect(self) -> None:
        super().connect()
        self._enter(Phase.SEND)


class _GuardedPool(HTTPConnectionPool):
    ConnectionCls = _GuardedConnection


class _GuardedTlsPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedTlsConnection


class _GuardedAdapter(HTTPAdapter):
    def __init__(self, dial: Dial, enter: Enter, tls: Callable[[], ssl.SSLContext]) -> None:
        super().__init__()
        self._to_connection: dict[str, Any] = {"dial": dial, "enter": enter}
        self._tls = tls
        self._pools: list[HTTPConnectionPool] = []

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        """A pool of its own for each request, which hands the connection what it needs."""
        url = urlsplit(request.url)
        host, port = url.hostname or "", url.port  # without a port http.client would look for one in an IPv6 address
        if url.scheme == "https":
            pool: HTTPConnectionPool = _GuardedTlsPool(
                host, port or 443, **self._to_connection, ssl_context=self._tls(), cert_reqs="CERT_REQUIRED"
            )
        else:
            pool = _GuardedPool(host, port or 80, **self._to_connection)
        self._pools.append(pool)
        return pool

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """The context has its roots; requests would parse all of certifi anew for each connection (14 ms)."""

    def close(self) -> None:
        for pool in self._pools:
            pool.close()
        super().close()


class GuardedSession(requests.Session):
    """Sends requests over connections made by ``dial``, and reports to ``enter`` how far they are.

    Redirects are the caller's business.
    """

    def __init__(self, dial: Dial, enter: Enter, tls: Callable[[], ssl.SSLContext]) -> None:
        super().__init__()
        self.trust_env = False
        self.adapters.clear()
        self.mount("http://", adapter := _GuardedAdapter(dial, enter, tls))
        self.mount("https://", adapter)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None, always: else ``send`` reads the whole body of a redirect, even when it is to follow none."""
        return None
