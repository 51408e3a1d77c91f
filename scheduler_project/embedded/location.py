"""Where the embedded server lives: account, data folder, socket folder. Looks at the file system, changes nothing.

PostgreSQL refuses to run as root. For root it runs as the owner of its data, at first as ``postgres`` or ``nobody``;
when that account cannot reach the wanted folder (a clone in /root, say) everything of the server moves to one folder,
its *annex*, in /var/tmp: opening up a parent folder would be a change outside the project, and is never made.
"""

from __future__ import annotations

import hashlib
import os
import pwd
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

PORT = "5432"  # no TCP: it only names the socket
SOCKET = f".s.PGSQL.{PORT}"
SUPERUSER = "postgres"
DBNAME = "task_scheduler"
ACCOUNTS = ("postgres", "_postgres", "nobody")
# sun_path holds 108 bytes on Linux and 104 on macOS, with the final zero.
LONGEST_SOCKET = 103
# Not the temp folder of the environment: every process of the project must find the same one, whatever its TMPDIR.
ANNEXES, SHORT = Path("/var/tmp"), Path("/tmp")  # noqa: S108 - owners are checked before use, and by libpq (requirepeer)


class EmbeddedError(RuntimeError):
    """The embedded server cannot do what was asked; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    uid: int
    gid: int

    @property
    def name(self) -> str | None:
        with suppress(KeyError):
            return pwd.getpwuid(self.uid).pw_name
        return None

    @classmethod
    def own(cls) -> Account:
        return cls(os.geteuid(), os.getegid())

    def __str__(self) -> str:
        return self.name or f"user {self.uid}"

    def has(self, bits: int, status: os.stat_result) -> bool:
        """Whether the mode grants these rwx bits; the first class that matches decides, as in path_resolution(7)."""
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid == self.gid else 0
        return status.st_mode >> shift & bits == bits

    def reaches(self, path: Path) -> bool:
        """Whether this account can walk to ``path``; folders that do not exist yet will be made so that it can."""
        if self.uid == os.geteuid():
            return True
        return all(self.has(0o1, parent.stat()) for parent in path.parents if parent.exists())


@dataclass(frozen=True, slots=True)
class Location:
    wanted: Path
    data_dir: Path
    socket_dir: Path
    annex: Path
    account: Account

    @property
    def relocated(self) -> bool:
        return self.data_dir != self.wanted

    @property
    def socket(self) -> Path:
        return self.socket_dir / SOCKET

    @property
    def lock_file(self) -> Path:
        return self.data_dir.with_name(f"{self.data_dir.name}.lock")

    def params(self, dbname: str = DBNAME) -> dict[str, str]:
        """libpq parameters of a connection; in a folder open to all, only to a server of the right account."""
        params = {"host": str(self.socket_dir), "port": PORT, "user": SUPERUSER, "dbname": dbname}
        if self.socket_dir != self.wanted and (name := self.account.name):
            params["requirepeer"] = name
        return params

    @property
    def url(self) -> str:
        return f"postgresql://{SUPERUSER}@{quote(str(self.socket_dir), safe='')}:{PORT}/{DBNAME}"


def locate(wanted: Path) -> Location:
    """Place the server whose data should be in ``wanted``. Every process returns the same, running or not."""
    wanted = wanted.resolve()
    tag = f"task-scheduler-{os.geteuid()}-{hashlib.sha256(os.fsencode(wanted)).hexdigest()[:12]}"
    annex = ANNEXES / tag
    data_dir, account = wanted, _account(wanted)
    if not account.reaches(wanted):
        data_dir = annex / "postgres"
        account = _account(data_dir)
    fits = len(os.fsencode(data_dir / SOCKET)) <= LONGEST_SOCKET
    socket_dir = data_dir if fits else SHORT / tag
    return Location(wanted, data_dir, socket_dir, annex, account)


def _account(data_dir: Path) -> Account:
    """Whom the server runs as: ourselves; for root the owner of the data, else the first unprivileged account."""
    if os.geteuid() != 0:
        return Account.own()
    with suppress(OSError):
        status = data_dir.stat()
        if status.st_uid != 0:
            return Account(status.st_uid, status.st_gid)
    for name in ACCOUNTS:
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedError(
        "PostgreSQL refuses to run as root, and no account named postgres or nobody exists to run it as"
    )
