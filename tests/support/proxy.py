"""A TCP proxy on loopback before a PostgreSQL server: a network that is broken and healed while connections are open.

One thread runs an event loop. Every method may be called from any thread, and has taken effect when it returns. Faults
add up until `heal` ends them all. The wire protocol (version 3, no TLS) is followed just far enough to know which
statement a connection runs and when its transaction has ended; whole messages are passed on, never parts.

What it cannot do: both kernels acknowledge what is swallowed here, so neither keepalives nor ``tcp_user_timeout`` of a
client fire as they would in a dead network, and its connections stay open. That is the harder case, a peer that hangs.
A connection that lost bytes is of no use any more: `heal` resets it.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import Any, Final, TypeVar

from psycopg.conninfo import conninfo_to_dict, make_conninfo

T = TypeVar("T")

_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104
_CHUNK: Final = 65_536
#: So much of each statement is remembered: before the values that Django writes into it.
_BEGINNING: Final = 40
_ABORT: Final = struct.pack("ii", 1, 0)


class Direction(StrEnum):
    TO_SERVER = "to server"
    TO_CLIENT = "to client"


@dataclass(frozen=True)
class _Wire:
    """What the network does at present. ``changed`` is set when it does something else."""

    dropped: frozenset[Direction] = frozenset()
    held: bool = False
    delay: float = 0.0
    reset_chance: float = 0.0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Proxy:
    """Before the server of ``target`` (a URL or key=value string); `dsn` is the same database through the proxy.

    ``seed`` is for `reset_at_random`. ``accepted`` counts connections; ``cuts`` and ``resets`` those ended by a fault.
    """

    def __init__(self, target: str, *, seed: int = 0) -> None:
        self._target = conninfo_to_dict(target)
        self._random = random.Random(seed)
        self._wire = _Wire()
        self._fragment, self._cuts_left = "", 0
        self._links: dict[_Link, asyncio.Task[None]] = {}
        self.accepted = self.cuts = self.resets = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._listener = _bound(0)
        self.port: int = self._listener.getsockname()[1]
        self.dsn = make_conninfo(target, host="127.0.0.1", port=self.port, sslmode="disable", gssencmode="disable")
        self._call(self._listen)

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every connection and the listener."""
        self._await(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    # Faults

    def delay(self, seconds: float) -> None:
        """Let everything take so much longer, in each direction."""
        self._call(lambda: self._change(delay=seconds))

    def drop(self, direction: Direction) -> None:
        """Swallow what goes one way; connections stay open."""
        self._call(lambda: self._change(dropped=self._wire.dropped | {direction}))

    def blackhole(self) -> None:
        """Swallow everything both ways; connections stay open, and new ones get no answer."""
        self._call(lambda: self._change(dropped=frozenset(Direction)))

    def hold(self) -> None:
        """Deliver nothing until `heal`, and then everything: an outage that TCP outlives by sending again."""
        self._call(lambda: self._change(held=True))

    def refuse(self) -> None:
        """Refuse new connections; open ones stay."""
        self._call(self._refuse)

    def reset(self, *, sent: str = "") -> int:
        """Reset every connection, or those that ever sent a statement that begins like this; return how many."""
        return self._await(self._reset_links(lambda link: link.has_sent(sent)))

    def reset_at_random(self, chance: float) -> None:
        """Reset a connection instead of passing on what came, with this chance, either way."""
        self._call(lambda: self._change(reset_chance=chance))

    def cut_after(self, fragment: str, count: int = 1) -> None:
        """Close connections when the server has committed a statement with this text, and before its client is told.

        The statement may be prepared, pipelined, or one of a transaction: it is the commit's answer that is lost.
        Done ``count`` times; `heal` does not end it. A statement that failed or was rolled back does not count.
        """
        self._call(lambda: self._set_cut(fragment, count))

    def heal(self) -> None:
        """End all faults at once. Connections that lost bytes are reset."""
        self._await(self._heal())

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._links)

    # What the loop's thread does

    def _change(self, **changes: Any) -> None:
        old, self._wire = self._wire, replace(self._wire, changed=asyncio.Event(), **changes)
        old.changed.set()

    async def _heal(self) -> None:
        old, self._wire = self._wire, _Wire()
        old.changed.set()
        await self._reset_links(lambda link: link.lost_bytes)
        self._listen()

    def _listen(self) -> None:
        self._listener.listen()
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        # Not asyncio's server, which loses connections that come while it is closed.
        with suppress(BlockingIOError):  # the client has gone already
            client, _ = self._listener.accept()
            self.accepted += 1
            link = _Link(self, client)
            self._links[link] = self._loop.create_task(link.run())
            self._links[link].add_done_callback(partial(self._forget, link))

    def _forget(self, link: _Link, _: asyncio.Task[None]) -> None:
        del self._links[link]

    def _stop_listening(self) -> None:
        self._loop.remove_reader(self._listener)
        self._listener.close()

    def _refuse(self) -> None:
        self._stop_listening()
        self._listener = _bound(self.port)

    async def _reset_links(self, concerns: Callable[[_Link], bool]) -> int:
        links = {link: task for link, task in self._links.items() if concerns(link)}
        for link in links:
            link.end(reset=True)
        self.resets += len(links)
        await asyncio.gather(*links.values(), return_exceptions=True)
        return len(links)

    def _set_cut(self, fragment: str, count: int) -> None:
        self._fragment, self._cuts_left = fragment, count

    def wants_cut(self, sql: str) -> bool:
        return self._cuts_left > 0 and self._fragment in sql

    def take_cut(self) -> bool:
        """Whether a commit that was marked for it is to be cut: others may have used up the count meanwhile."""
        if self._cuts_left <= 0:
            return False
        self._cuts_left -= 1
        self.cuts += 1
        return True

    async def cross(self, direction: Direction, arrived: float) -> bool:
        """Wait as long as the network makes a message wait that came at ``arrived``; whether it gets through.

        Raises ConnectionResetError when the connection breaks instead.
        """
        while True:
            wire = self._wire
            if direction in wire.dropped:
                return False
            rest = None if wire.held else arrived + wire.delay - self._loop.time()
            if rest is not None and rest <= 0:
                break
            with suppress(TimeoutError):
                await asyncio.wait_for(wire.changed.wait(), rest)
        if wire.reset_chance and self._random.random() < wire.reset_chance:
            self.resets += 1
            raise ConnectionResetError
        return True

    async def reach_server(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = str(self._target.get("host") or "127.0.0.1"), self._target.get("port") or 5432
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, int(port))

    async def _close(self) -> None:
        self._stop_listening()
        await self._reset_links(lambda _: True)
        for _ in range(3):  # closed transports give up their sockets in the loop's next rounds
            await asyncio.sleep(0)

    def _call(self, act: Callable[[], T]) -> T:
        async def acted() -> T:
            return act()

        return self._await(acted())

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


class _Link:
    """One client, and the connection to the server made for it with its first message that gets through."""

    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._client_socket = client
        self._client: asyncio.StreamWriter
        self._server: asyncio.StreamWriter | None = None
        self._talk = _Talk()
        self._flows: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._reset = False
        self.lost_bytes = False

    async def run(self) -> None:
        reader, self._client = await asyncio.open_connection(sock=self._client_socket)
        try:
            self._flow(reader, _Messages(startup=True), Direction.TO_SERVER, self._to_server)
            await self._over.wait()
        finally:
            for flow in self._flows:
                flow.cancel()
            await asyncio.gather(*self._flows, return_exceptions=True)  # one may be about to reach the server
            if self._reset:
                with suppress(OSError):  # the client was faster
                    self._client_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            for writer in filter(None, (self._client, self._server)):
                await self._hang_up(writer)

    async def _hang_up(self, writer: asyncio.StreamWriter) -> None:
        if not self._reset:
            writer.close()  # what was written still goes out, to a peer that reads it
            with suppress(OSError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), 1)
        writer.transport.abort()

    def end(self, *, reset: bool = False) -> None:
        self._reset |= reset
        self._over.set()

    def has_sent(self, beginning: str) -> bool:
        return not beginning or any(said.startswith(beginning) for said in self._talk.said)

    def _flow(
        self,
        reader: asyncio.StreamReader,
        messages: _Messages,
        direction: Direction,
        deliver: Callable[[list[_Message]], Coroutine[Any, Any, None]],
    ) -> None:
        """Read and deliver in two tasks, so that what waits for its delay holds up nothing but what is behind it."""
        queue: asyncio.Queue[tuple[float, list[_Message] | None]] = asyncio.Queue(maxsize=256)

        async def read() -> None:
            loop = asyncio.get_running_loop()
            with suppress(OSError):
                while data := await reader.read(_CHUNK):
                    if whole := list(messages.feed(data)):
                        await queue.put((loop.time(), whole))
            await queue.put((loop.time(), None))

        async def write() -> None:
            try:
                while True:
                    arrived, whole = await queue.get()
                    if not await self._proxy.cross(direction, arrived):
                        self.lost_bytes = True
                    elif whole is None:
                        return self.end()
                    else:
                        await deliver(whole)
            except ConnectionResetError:
                return self.end(reset=True)
            except OSError:
                return self.end()

        self._flows |= {asyncio.create_task(read()), asyncio.create_task(write())}

    async def _to_server(self, messages: list[_Message]) -> None:
        out = bytearray()
        for message in messages:
            if message.kind == b"?":  # no encryption
                self._client.write(b"N")
                continue
            sql = self._talk.send(message)
            if sql is not None and self._proxy.wants_cut(sql):
                self._talk.mark()
            out += message.data
        if not out:
            return
        if self._server is None:
            reader, self._server = await self._proxy.reach_server()
            self._flow(reader, _Messages(), Direction.TO_CLIENT, self._to_client)
        self._server.write(out)
        await self._server.drain()

    async def _to_client(self, messages: list[_Message]) -> None:
        out = bytearray()
        for message in messages:
            out += self._talk.receive(message)
            if self._talk.committed:
                if self._proxy.take_cut():
                    return self.end()
                out += self._talk.unmark()
        self._client.write(out)
        return await self._client.drain()


@dataclass(frozen=True, slots=True)
class _Message:
    """One message of the protocol, whole. ``kind`` is its type byte; empty at start-up, ``?`` asks for encryption."""

    kind: bytes
    data: bytes

    @property
    def body(self) -> bytes:
        return self.data[5:]


class _Messages:
    """Cuts a stream of bytes into messages."""

    def __init__(self, *, startup: bool = False) -> None:
        self._rest = b""
        self._startup = startup

    def feed(self, data: bytes) -> Iterator[_Message]:
        self._rest += data
        start, head = 0, 4 if self._startup else 5
        while len(self._rest) >= start + head:
            [length] = struct.unpack_from("!i", self._rest, start + head - 4)
            end = start + length + head - 4
            if len(self._rest) < end:
                break
            whole = self._rest[start:end]
            kind = self._startup_kind(whole) if head == 4 else whole[:1]
            if kind == b"":
                self._startup, head = False, 5
            start = end
            yield _Message(kind, whole)
        self._rest = self._rest[start:]

    def _startup_kind(self, whole: bytes) -> bytes:
        return b"?" if struct.unpack_from("!i", whole, 4)[0] in (_SSL_REQUEST, _GSS_REQUEST) else b""


class _Talk:
    """What a connection has said: its prepared statements, and which answer belongs to which request.

    Requests are counted by Sync and simple Query, answers by ReadyForQuery, which also tells whether a transaction is
    still open. Answers to a marked request, and to the rest of its transaction, are kept back one request at a time.
    """

    def __init__(self) -> None:
        self.said: set[str] = set()
        self.committed = False
        self._prepared: dict[bytes, str] = {}
        self._requests, self._current, self._answers = 0, 0, -1  # the answer to the start-up message comes first
        self._syncs = False
        self._marked: int | None = None
        self._failed = False
        self._kept = bytearray()

    def send(self, message: _Message) -> str | None:
        """Take in a message to the server; the statement that it runs, if it does."""
        sql, self._current = None, self._requests
        match message.kind:
            case b"P":
                name, text = message.body.split(b"\0", 2)[:2]
                self._prepared[name] = text.decode()
            case b"B":
                sql = self._prepared.get(message.body.split(b"\0", 2)[1])
            case b"Q":
                sql = message.body.rstrip(b"\0").decode()
        if sql is not None:
            self.said.add(sql[:_BEGINNING])
        if message.kind in (b"S", b"Q"):
            self._requests += 1
            self._syncs = message.kind == b"S"
        return sql

    def mark(self) -> None:
        """Keep back the answer to the request that `send` was just given a part of."""
        self._marked = self._current if self._marked is None else self._marked

    def unmark(self) -> bytes:
        self._marked, self.committed = None, False
        kept, self._kept = bytes(self._kept), bytearray()
        return kept

    def receive(self, message: _Message) -> bytes:
        """Take in a message from the server; the bytes that may go on to the client."""
        if message.kind == b"G" and self._syncs:
            self._requests -= 1  # COPY FROM: the server passes over the Sync behind it
        if message.kind == b"E" or (message.kind == b"C" and message.body == b"ROLLBACK\0"):
            self._failed = True
        ours = self._marked is not None and self._answers >= self._marked
        if message.kind != b"Z":
            if not ours:
                return message.data
            self._kept += message.data
            return b""
        self._answers += 1
        self._kept += message.data
        failed, self._failed = self._failed, False
        if ours and failed:
            return self.unmark()
        self.committed = ours and message.body == b"I"
        if self.committed:
            return b""
        kept, self._kept = bytes(self._kept), bytearray()
        return kept


def _bound(port: int) -> socket.socket:
    """A socket that holds the port; nobody can connect before it listens."""
    bound = socket.socket()
    bound.setblocking(False)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound
