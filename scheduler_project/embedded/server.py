"""The life cycle of the embedded PostgreSQL: start, stop, remove; safe from any number of processes at once.

Whoever changes anything holds the lock file beside the data. Where things are is ``location``'s, which programs run
``binaries``', how they are run ``programs``', what crashes leave behind ``postmaster``'s.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

from scheduler_project.embedded import folders, programs
from scheduler_project.embedded.binaries import Binaries, find_binaries, reachable_binaries
from scheduler_project.embedded.location import DBNAME, Account, EmbeddedError, Location
from scheduler_project.embedded.postmaster import Postmaster

__all__ = ["EmbeddedError", "EmbeddedServer"]

LARGEST_LOG = 10_000_000  # bytes


class EmbeddedServer:
    """The server at one location. ``options`` are given to it at every start and beat its postgresql.conf."""

    def __init__(
        self, location: Location, *, bindir: Path | None = None, options: Mapping[str, str] | None = None
    ) -> None:
        self.location = location
        self.data_dir = location.data_dir
        self.log_file = location.data_dir / "server.log"
        self.postmaster = Postmaster(location)
        self._bindir = bindir
        self._options = {
            "listen_addresses": "",
            "unix_socket_directories": str(location.socket_dir),
            "unix_socket_permissions": "0700",
        } | dict(options or {})

    @property
    def made_by(self) -> int | None:
        """The major version that made the data; None when there is none yet."""
        with suppress(FileNotFoundError):
            return int((self.data_dir / "PG_VERSION").read_text())
        return None

    def is_running(self) -> bool:
        """Whether it takes connections."""
        self._check_owner()
        return self.postmaster.pid_file.exists() and self._ping() == Ping.OK

    def was_stopped(self) -> bool:
        """Whether a server that once ran here was stopped on purpose: a crash leaves the pid file behind."""
        return self.made_by is not None and not self.postmaster.pid_file.exists()

    def start(self, *, announce: bool = True, only_after_crash: bool = False) -> bool:
        """Bring up the server and its database; return whether this call started it, and so should stop it.

        ``announce`` says so on stderr, in one line. ``only_after_crash`` refuses when it was stopped on purpose. Any
        number of processes may call this at once: one starts the server, the others wait. Raises `EmbeddedError`.
        """
        with self._locked():
            started = None if self._wait_until_ready() else self._launch(only_after_crash=only_after_crash)
            self._ensure_database()
        if started and announce:
            _say(f"{started.version} started in {_short(self.data_dir)}; `python manage.py embedded_db stop` stops it")
        return started is not None

    def stop(self) -> bool:
        """Stop it and return whether it ran. Its sessions are cut and their transactions rolled back."""
        self._check_owner()
        if not self.postmaster.pid_file.exists():
            return False
        with self._locked():
            return self._stop()

    def remove(self) -> None:
        """Stop it and delete its data, with everything it put elsewhere."""
        self._check_owner()
        if not self.location.lock_file.parent.exists():
            return
        with self._locked():
            self._stop()
            for folder in {self.data_dir, self.location.socket_dir, self.location.annex}:
                if folder.exists():
                    shutil.rmtree(folder)
            self.location.lock_file.unlink(missing_ok=True)

    def _launch(self, *, only_after_crash: bool) -> Binaries:
        if only_after_crash and self.was_stopped():
            raise EmbeddedError("it was stopped; `python manage.py embedded_db start` starts it")
        found = find_binaries(bindir=self._bindir, made_by=self.made_by)
        binaries = reachable_binaries(found, account=self.location.account, annex=self.location.annex)
        if self.made_by is None:
            self._make_data(binaries)
        self.postmaster.clean_up_after_crash()
        if self.location.socket_dir != self.data_dir:
            folders.claim(self.location.socket_dir, self.location.account, mode=0o700)
        self._start_postmaster(binaries)
        return binaries

    def _make_data(self, binaries: Binaries) -> None:
        programs.make_data(binaries, self.location, durable=self._options.get("fsync") != "off")
        if self.location.relocated:
            account, wanted = self.location.account, self.location.wanted
            _say(f"{binaries.version} keeps its data in {self.data_dir}: its account {account} cannot reach {wanted}")

    def _start_postmaster(self, binaries: Binaries) -> None:
        log_end = self._rotate_log()
        try:
            programs.start_postmaster(binaries, self.location, log=self.log_file, options=self._options)
        except EmbeddedError as error:
            raise EmbeddedError(f"{error}\n{self._log_after(log_end)}") from None
        except BaseException:  # Ctrl-C while it starts: a caller who never learns that it is up could not stop it
            self._stop()
            raise

    def _ensure_database(self) -> None:
        conninfo = make_conninfo(**self.location.params("postgres"), connect_timeout="5")
        try:
            with psycopg.connect(conninfo, autocommit=True) as connection:
                found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DBNAME]).fetchone()
                if found is None:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DBNAME)))
        except psycopg.Error as error:
            raise EmbeddedError(f"it runs, but its databases cannot be looked at: {error}") from error

    def _wait_until_ready(self) -> bool:
        """Whether a server takes connections, after waiting for one that starts or recovers; False: nobody is there."""
        deadline = time.monotonic() + programs.READY_TIMEOUT
        while self.postmaster.pid_file.exists():
            reply = self._ping()
            if reply == Ping.OK:
                return True
            if reply != Ping.REJECT and self.postmaster.pid is None:
                break
            if time.monotonic() > deadline:
                raise EmbeddedError(f"it runs but takes no connection\n{self._log_after(0)}")
            time.sleep(0.05)
        return False

    def _ping(self) -> Ping:
        conninfo = make_conninfo(**self.location.params("postgres"), connect_timeout="3")
        return Ping(PGconn.ping(conninfo.encode()))

    def _stop(self) -> bool:
        stopped = self.postmaster.stop()
        if not stopped and self.is_running():
            raise EmbeddedError("it runs, but its process cannot be seen from here: stop it where it was started")
        return stopped

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._check_owner()
        try:
            if self.location.relocated:
                folders.claim(self.location.annex, Account.own(), mode=0o755)
            folders.make_parents(self.location.lock_file)
            with folders.locked(self.location.lock_file):
                yield
        except OSError as error:  # no room, no permission: nothing a traceback would explain better
            raise EmbeddedError(str(error)) from error

    def _check_owner(self) -> None:
        """Refuse data of another account early: everything else would fail on it with less to say."""
        try:
            uid = self.data_dir.stat().st_uid
            if uid != self.location.account.uid and (os.geteuid() != 0 or any(self.data_dir.iterdir())):
                raise EmbeddedError(
                    f"{self.data_dir} belongs to {Account(uid, -1)}, not to {self.location.account}: use that account, "
                    "or set EMBEDDED_DATA_DIR to another folder"
                )
        except FileNotFoundError:
            pass
        except OSError as error:
            raise EmbeddedError(str(error)) from error

    def _rotate_log(self) -> int:
        """The size of the log, after setting it aside when it is large."""
        with suppress(FileNotFoundError):
            if (size := self.log_file.stat().st_size) <= LARGEST_LOG:
                return size
            self.log_file.replace(f"{self.log_file}.1")
        return 0

    def _log_after(self, position: int) -> str:
        with suppress(OSError), self.log_file.open("rb") as file:
            file.seek(position)
            return f"{self.log_file} says:\n" + file.read().decode(errors="replace")[-2000:]
        return ""


def _short(path: Path) -> Path:
    with suppress(OSError, ValueError):  # ValueError: it is not below
        return path.relative_to(Path.cwd())
    return path


def _say(text: str) -> None:
    sys.stderr.write(f"embedded PostgreSQL {text}\n")
