"""Hosts of their own on this machine: network namespaces that reach the database through a hub, and can be cut off.

Needs root and ``ip``. All is between namespaces made here, with addresses of TEST-NET-2 (RFC 5737); the machine's own
network is not touched. Run as a program, this is the hub's relay to the database's Unix socket: a real TCP connection
over a real link, which breaks without a word when the link goes down.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

PORT = 5432


@dataclass(frozen=True)
class Host:
    """A namespace with one link to the hub."""

    name: str
    hub: str
    #: The hub's end of the link.
    link: str
    #: Where this host finds the database.
    address: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """What makes a command run on this host."""
        return ("ip", "netns", "exec", self.name)

    def cut_off(self) -> None:
        """Take the link down: packets vanish, and nobody is told."""
        _ip("-n", self.hub, "link", "set", self.link, "down")

    def reconnect(self) -> None:
        _ip("-n", self.hub, "link", "set", self.link, "up")


def can_make_hosts() -> bool:
    """Whether this machine lets us make namespaces."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    probe = f"ts-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False).returncode == 0
    if made:
        _ip("netns", "del", probe)
    return made


@contextmanager
def hosts(count: int, socket: Path) -> Iterator[list[Host]]:
    """``count`` hosts that reach the server at ``socket`` under the address each names."""
    hub = f"ts-{os.getpid()}-hub"
    with ExitStack() as stack:
        stack.enter_context(_namespace(hub))
        made = [stack.enter_context(_host(hub, n)) for n in range(1, count + 1)]
        relay = subprocess.Popen(
            ["ip", "netns", "exec", hub, sys.executable, "-m", __name__, str(socket)], stdout=subprocess.PIPE, text=True
        )
        stack.callback(relay.wait)
        stack.callback(relay.kill)
        assert relay.stdout is not None
        stack.callback(relay.stdout.close)
        assert relay.stdout.readline() == "listening\n"
        yield made


@contextmanager
def _namespace(name: str) -> Iterator[None]:
    _ip("netns", "add", name)
    try:
        _ip("-n", name, "link", "set", "lo", "up")
        yield
    finally:
        _ip("netns", "del", name)  # its links go with it


@contextmanager
def _host(hub: str, number: int) -> Iterator[Host]:
    name, link = f"ts-{os.getpid()}-h{number}", f"to{number}"
    ours, theirs = f"198.51.100.{4 * number + 1}", f"198.51.100.{4 * number + 2}"
    with _namespace(name):
        _ip("-n", hub, "link", "add", link, "type", "veth", "peer", "name", "up0", "netns", name)
        for where, device, address in ((hub, link, ours), (name, "up0", theirs)):
            _ip("-n", where, "address", "add", f"{address}/30", "dev", device)
            _ip("-n", where, "link", "set", device, "up")
        yield Host(name, hub, link, ours)


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True).stdout


async def _relay(socket: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(socket)
        await asyncio.gather(_copy(reader, back), _copy(there, writer))

    server = await asyncio.start_server(serve, "0.0.0.0", PORT)
    print("listening", flush=True)
    async with server:
        await server.serve_forever()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    asyncio.run(_relay(sys.argv[1]))
