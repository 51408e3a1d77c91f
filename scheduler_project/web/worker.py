"""A process of the web server: gunicorn's asyncio worker, serving a WSGI application.

Its event loop reads requests and sends responses; threads see whole requests only (``bridge``). Once a second it looks
at all connections and ends those that take too long (``patience``). When there are too many, the oldest that is idle,
has not yet said what it wants, or hardly moves makes room, so that a new one, a probe say, is soon heard.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
from collections import Counter
from typing import Any, Final

import structlog
from gunicorn.workers.gasgi import ASGIWorker

from scheduler_project import settings
from scheduler_project.web.bridge import Bridge
from scheduler_project.web.connection import Connection
from scheduler_project.web.patience import Phase

log = structlog.get_logger(__name__)

#: Seconds between two looks, and two signs of life to gunicorn.
LOOK_EVERY: Final = 1.0
#: Seconds without another search for a connection that may make room.
LOOK_AGAIN: Final = 0.1
#: Seconds that a process which stops leaves to connections without a request, for one that is on its way.
LINGER: Final = 0.3
#: Connections accepted before those that are there are looked at. More, and the first process to wake takes all.
ACCEPTED_AT_ONCE: Final = 1
#: Open files besides connections: sockets to the database, static files, the interpreter's own.
OTHER_FILES: Final = 200


class Worker(ASGIWorker):  # type: ignore[misc]  # gunicorn is untyped
    connections: dict[Connection, None]  # in the order in which they came

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Threads do mean something here."""

    def load_wsgi(self) -> None:
        application = self.app.wsgi()
        self.asgi = Bridge(application, threads=self.cfg.threads, largest=settings.MAX_BULK_BODY)

    async def _serve(self) -> None:
        self.connections = {}
        self._stopping = asyncio.Event()
        self._full_until = 0.0
        self._most = room_for(self.worker_connections)
        for listener in self.sockets:
            opened = Listener(fileno=os.dup(listener.sock.fileno()))
            server = await self.loop.create_server(lambda: Connection(self), sock=opened, backlog=ACCEPTED_AT_ONCE)
            self.servers.append(server)
        while self.alive and self.ppid == os.getppid():
            self.notify()
            for connection in list(self.connections):
                connection.look(self.loop.time())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), LOOK_EVERY)
        await self._shutdown()

    def handle_exit_signal(self) -> None:
        super().handle_exit_signal()
        self._stopping.set()

    def handle_quit_signal(self) -> None:
        super().handle_quit_signal()
        self._stopping.set()

    def admit(self, connection: Connection) -> bool:
        """Take a new connection in, if need be in place of the oldest that may make room."""
        now = self.loop.time()
        while len(self.connections) >= self._most:
            victim = None if now < self._full_until else self._expendable(now)
            if victim is None:
                return False
            del self.connections[victim]
            victim.abort()
        self.connections[connection] = None
        return True

    def _expendable(self, now: float) -> Connection | None:
        """The oldest that may make room. After a look at all of them in vain, there is none for a while."""
        victim = next((old for old in self.connections if old.is_expendable(now)), None)
        if victim is None:
            self._full_until = now + LOOK_AGAIN
        return victim

    async def _shutdown(self) -> None:
        """Accept nobody new, respond to what has been asked within ``graceful_timeout``, and drop the rest."""
        for opened in (*self.servers, *self.sockets):
            opened.close()
        self.asgi.leave()
        end = self.loop.time() + self.cfg.graceful_timeout
        await asyncio.sleep(0 if self._quick_shutdown else LINGER)
        while self.connections and self.loop.time() < end and not self._quick_shutdown:
            self.notify()
            for connection in list(self.connections):
                if connection.phase in (Phase.IDLE, Phase.HEAD):
                    connection.abort()
                else:
                    connection.look(self.loop.time())
            await asyncio.sleep(0.05)
        if self.connections:
            phases = Counter(str(connection.phase) for connection in self.connections)
            log.warning("connections_dropped", **phases)
        for connection in list(self.connections):
            connection.abort()
        self.asgi.close()


class Listener(socket.socket):
    """A socket that listens already, with the queue of the whole server; asyncio would give it one of its own."""

    def listen(self, _backlog: int = 0, /) -> None:
        pass


def room_for(wanted: int) -> int:
    """How many connections one process takes, with the files it may open.

    Raises the soft limit as far as it needs to go: 1,024 files are the default of many systems.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    enough = soft == resource.RLIM_INFINITY or soft >= needed
    return wanted if enough else max(16, soft - OTHER_FILES)
