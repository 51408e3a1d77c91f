"""Two PostgreSQL servers on loopback TCP, one streaming to the other, for tests of failover.

Programs are run as the embedded server runs them. Each server is killed and removed with its test.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from scheduler_project.embedded import folders, programs
from scheduler_project.embedded.binaries import Binaries, find_binaries, reachable_binaries
from scheduler_project.embedded.location import DBNAME, SUPERUSER, Location
from tests.support.cluster import OPTIONS, scratch_location
from tests.support.waiting import eventually

#: What pg_rewind needs to set a former primary back; and room for a lock that outlives the primary it was taken on.
SETTINGS = {
    "full_page_writes": "on",
    "wal_log_hints": "on",
    "wal_keep_size": "256MB",
    "max_prepared_transactions": "2",
}
ACCESS = "host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n"


@dataclass
class Node:
    """One server; ``name`` is how it calls itself to the primary it follows."""

    name: str
    location: Location
    binaries: Binaries
    port: int = 0
    options: Mapping[str, str] = field(default_factory=dict)

    def start(self) -> None:
        given = {"listen_addresses": "127.0.0.1", "port": str(self.port), "unix_socket_directories": "", **self.options}
        programs.start_postmaster(
            self.binaries, self.location, log=self.location.data_dir / "server.log", options=OPTIONS | given
        )

    def stop(self, mode: str = "immediate") -> None:
        self.run("pg_ctl", "stop", "-s", "-w", "-m", mode, "-D", self.location.data_dir)

    def promote(self) -> None:
        """Make a standby the primary of a timeline of its own; returns when it takes writes."""
        self.run("pg_ctl", "promote", "-s", "-w", "-D", self.location.data_dir)

    def follow(self, primary: Node, *, rewind: bool = False) -> None:
        """Become a standby: of a copy, or, for a former primary that is stopped, of its own data set back."""
        source = f"host=127.0.0.1 port={primary.port} user={SUPERUSER} application_name={self.name}"
        if rewind:
            self.run("pg_rewind", "-D", self.location.data_dir, "--source-server", f"{source} dbname={DBNAME}", "-R")
        else:
            self.run("pg_basebackup", "-D", self.location.data_dir, "-d", source, "-R", "-c", "fast", "--no-sync")
        self.port = self.port or free_port()
        self.start()
        eventually(lambda: primary.fetch("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"), timeout=20)

    def fetch(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    @property
    def url(self) -> str:
        return f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/{DBNAME}"

    def run(self, program: str, *arguments: Path | str) -> None:
        programs.run_as(self.location.account, self.binaries.bindir / program, *arguments, timeout=60)


@dataclass
class Pair:
    """A primary and its standby; ``url`` names both, and finds whichever takes writes."""

    primary: Node
    standby: Node

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in (self.primary, self.standby))
        return f"postgresql://{SUPERUSER}@{hosts}/{DBNAME}?target_session_attrs=read-write&connect_timeout=2"

    def make_synchronous(self) -> None:
        self.primary.fetch("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.primary.fetch("SELECT pg_reload_conf()")
        eventually(lambda: self.primary.fetch("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"))

    def cut_off_standby(self) -> None:
        """From here on nothing reaches the standby: what is committed now will be lost with the primary."""
        self.standby.fetch("ALTER SYSTEM SET primary_conninfo = ''")
        self.standby.fetch("SELECT pg_reload_conf()")
        eventually(lambda: not self.primary.fetch("SELECT 1 FROM pg_stat_replication"))

    @contextmanager
    def locked(self, sql: str) -> Iterator[None]:
        """Hold row locks through a failover, whoever is primary at the end."""
        self.primary.fetch(f"BEGIN; {sql}; PREPARE TRANSACTION 'held'")
        yield
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("ROLLBACK PREPARED 'held'")

    def caught_up(self) -> bool:
        [(end,)] = self.primary.fetch("SELECT pg_current_wal_lsn()::text")
        return bool(self.standby.fetch(f"SELECT pg_last_wal_replay_lsn() >= '{end}'")[0][0])

    def fail_over(self) -> None:
        """End the primary without warning and promote the standby, which waits for no standby of its own."""
        self.primary.stop("immediate")
        self.standby.promote()


@contextmanager
def replicated_pair() -> Iterator[Pair]:
    with ExitStack() as stack:
        first, second = (stack.enter_context(scratch_location()) for _ in range(2))
        bindir = os.environ.get("PG_BINDIR")
        found = find_binaries(bindir=Path(bindir) if bindir else None, made_by=None)
        nodes = []
        for name, location in (("first", first), ("second", second)):
            folders.make_parents(location.data_dir)
            if name == "second":  # a place for the copy, which its account could not make
                location.data_dir.mkdir(mode=0o700)
                folders.give(location.data_dir, location.account)
            binaries = reachable_binaries(found, account=location.account, annex=location.annex)
            nodes.append(Node(name, location, binaries, options=SETTINGS))
        primary, standby = nodes
        programs.make_data(primary.binaries, first, durable=False)
        (first.data_dir / "pg_hba.conf").write_text(ACCESS)
        with (first.data_dir / "postgresql.conf").open("a") as file:  # read by pg_rewind's own recovery too
            file.writelines(f"{name} = {value}\n" for name, value in SETTINGS.items())
        primary.port = free_port()
        primary.start()
        with psycopg.connect(primary.url.replace(f"/{DBNAME}", "/postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DBNAME}".encode())
        standby.follow(primary)
        yield Pair(primary, standby)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
