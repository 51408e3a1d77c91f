"""Where the web process listens (HOST, PORT), how large it is (WEB_WORKERS, WEB_THREADS), and its socket.

Whoever starts a web process opens its socket first, before anything else is made, and hands it down. A port that is
taken then ends the command with one line before a database, a user or a key exists, and what listens on the port can be
nobody but that web process.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, Final

import psutil

from tasks_app import conf

#: Connections that may wait until they are accepted (the kernel's own limit, somaxconn, may be lower).
BACKLOG: Final = 1_024


class ListeningError(Exception):
    """A variable that cannot be used. The text is ``NAME: what is wrong``, and what to do."""


def number(name: str, default: str, low: int, high: int) -> int:
    """The whole number that a variable holds. Raises `ListeningError`."""
    try:
        return conf.whole_number(low, high)(os.environ.get(name) or default)
    except ValueError as error:
        raise ListeningError(f"{name}: {error}") from None


def address() -> tuple[str, int]:
    """HOST and PORT; port 0 asks the system for a free one. Raises `ListeningError`."""
    host = (os.environ.get("HOST") or "127.0.0.1").strip("[]")
    return host, number("PORT", "8000", 0, 65_535)


def workers() -> int:
    """How many processes serve. Raises `ListeningError`."""
    return number("WEB_WORKERS", "2", 1, 256)


def threads() -> int:
    """How many requests each of them serves at once. Raises `ListeningError`."""
    return number("WEB_THREADS", "8", 1, 1_024)


def open_listener() -> socket.socket:
    """Listen on HOST and PORT, after a look at all four variables. Raises `ListeningError`."""
    host, port = address()
    workers(), threads()
    family, place = _resolve(host, port)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A restart must not wait for the connections of the last run. It does not let two listen on one address.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
        listener.bind(place)
        _check_nobody_listens(listener)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ListeningError(_explain(error, host, port)) from None
    return listener


def url_of(listener: socket.socket) -> str:
    """The address to ask for from this host."""
    host, port = _reachable(listener)
    return f"http://{netloc(host, port)}"


def netloc(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise ListeningError(f"HOST: {host!r} is no address of this host (0.0.0.0 means all of them)") from None
    # A name such as localhost has several: the one that most clients try, and documents name, is IPv4's.
    family, _, _, _, place = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, place


def _check_nobody_listens(listener: socket.socket) -> None:
    """Raise EADDRINUSE when somebody already listens where our own requests would go.

    Until we listen nobody may accept there. On systems that let one program bind all addresses and another the loopback
    address of the same port, the bind succeeds and the responses would be the other's.
    """
    with socket.socket(listener.family, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        if probe.connect_ex(_reachable(listener)) == 0:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _reachable(listener: socket.socket) -> tuple[str, int]:
    host, port = listener.getsockname()[:2]
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port  # noqa: S104 - compared, not bound


def _explain(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            other = "PORT=8001" if port == 8000 else "PORT=8000"
            return f"PORT: {netloc(host, port)} is taken by {_owner(port)}; stop it, or choose another, as in {other}"
        case errno.EACCES:
            return f"PORT: {port} needs root; choose one from 1024 up"
        case errno.EADDRNOTAVAIL:
            return f"HOST: {host} is no address of this host (0.0.0.0 means all of them)"
    return f"HOST: cannot listen on {netloc(host, port)}: {error.strerror}"


def _owner(port: int) -> str:
    """Who listens on a port, as far as this user may know."""
    try:
        for connection in psutil.net_connections("tcp"):
            taken = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if taken and connection.pid:
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except psutil.Error:
        pass
    return "another program"
