"""Which database this installation uses, decided from environment variables alone.

`choose` returns a frozen `DatabaseChoice`: the ``DATABASES["default"]`` entry, and the conninfo for wake-ups. It
connects to nothing and starts nothing: the life cycle of the embedded server is in ``scheduler_project/embedded``, the
engine that starts it on the first refused connection in ``scheduler_project/postgresql``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from scheduler_project.embedded.location import DBNAME, EmbeddedError, Location, locate

ENGINE = "scheduler_project.postgresql"

# A dead or unreachable server is noticed within about ten seconds: less than the default lease (15 s) minus its margin
# (3 s), so that a worker can still reach the next primary in time. Numbers as libpq takes them: seconds, milliseconds.
CONNECTION_DEFAULTS = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": DBNAME,
}
WHOLE_NUMBERS = ("connect_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")
PARTS = {"host": "DB_HOST", "port": "DB_PORT", "dbname": "DB_NAME", "user": "DB_USERNAME", "password": "DB_PASSWORD"}
ENCODING = "characters such as / @ : # % in a user name or password must be percent-encoded"


class DatabaseSettingError(ValueError):
    """A variable that cannot be used. ``name`` is the variable; the text holds no part of its value."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


class Source(StrEnum):
    DATABASE_URL = "DATABASE_URL"
    DB_HOST = "DB_HOST"
    EMBEDDED = "embedded"


@dataclass(frozen=True, slots=True)
class EmbeddedChoice:
    """Where the embedded server keeps its data, and whose binaries it must use (None: the first that are found)."""

    location: Location
    bindir: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseChoice:
    """A checked choice. Conninfos may hold passwords and stay out of the repr."""

    source: Source
    params: Mapping[str, str] = field(repr=False)  # libpq's names
    direct_conninfo: str | None = field(repr=False)  # a connection past any pooler, to LISTEN on; None: poll only
    behind_pooler: bool = False  # DIRECT_DATABASE_URL is set, so the main connection is not (known to be) direct
    embedded: EmbeddedChoice | None = None

    @property
    def django(self) -> dict[str, Any]:
        """The ``DATABASES["default"]`` entry; every libpq parameter without a Django name goes to OPTIONS."""
        options = dict(self.params)
        return {
            "ENGINE": ENGINE,
            "NAME": options.pop("dbname", ""),
            "USER": options.pop("user", ""),
            "PASSWORD": options.pop("password", ""),
            "HOST": options.pop("host", ""),
            "PORT": options.pop("port", ""),
            "OPTIONS": options,
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
            # A transaction pooler may give the next FETCH to another server session, which knows no such cursor.
            "DISABLE_SERVER_SIDE_CURSORS": self.behind_pooler,
            "EMBEDDED": self.embedded,
        }


def choose(environ: Mapping[str, str], base_dir: Path, *, embedded_allowed: bool = True) -> DatabaseChoice:
    """Choose from DATABASE_URL, else DB_HOST, else the embedded server. Raises `DatabaseSettingError`."""
    if not (embedded_allowed or environ.get("DATABASE_URL", "").strip() or environ.get("DB_HOST", "").strip()):
        raise DatabaseSettingError("DATABASE_URL", "must be set in the prod profile (or DB_HOST)")
    source, params, embedded = _choose_main(environ, base_dir)
    direct = environ.get("DIRECT_DATABASE_URL", "").strip()
    return DatabaseChoice(
        source=source,
        params=params,
        direct_conninfo=_direct_conninfo(direct, main=params),
        behind_pooler=bool(direct),
        embedded=embedded,
    )


def django_database(environ: Mapping[str, str], base_dir: Path) -> dict[str, Any]:
    """The ``DATABASES["default"]`` entry for this environment. Raises `DatabaseSettingError`."""
    return choose(environ, base_dir).django


def _choose_main(environ: Mapping[str, str], base_dir: Path) -> tuple[Source, dict[str, str], EmbeddedChoice | None]:
    if url := environ.get("DATABASE_URL", "").strip():
        return Source.DATABASE_URL, _from_conninfo("DATABASE_URL", url), None
    if environ.get("DB_HOST", "").strip():
        return Source.DB_HOST, _from_parts(environ), None
    embedded = _choose_embedded(environ, base_dir)
    return Source.EMBEDDED, CONNECTION_DEFAULTS | embedded.location.params(), embedded


def _choose_embedded(environ: Mapping[str, str], base_dir: Path) -> EmbeddedChoice:
    folder, bindir = environ.get("EMBEDDED_DATA_DIR", "").strip(), environ.get("PG_BINDIR", "").strip()
    try:
        location = locate(base_dir / (folder or ".data/postgres"))
    except EmbeddedError as error:
        raise DatabaseSettingError("DATABASE_URL", f"is not set, and {error}") from None
    return EmbeddedChoice(location, base_dir / bindir if bindir else None)


def _direct_conninfo(text: str, *, main: Mapping[str, str]) -> str | None:
    if text.lower() == "off":
        return None
    return make_conninfo(**(_from_conninfo("DIRECT_DATABASE_URL", text) if text else main))


def _from_parts(environ: Mapping[str, str]) -> dict[str, str]:
    given = {key: value for key, name in PARTS.items() if (value := environ.get(name, "").strip())}
    params = {"port": "5432", "dbname": DBNAME, "user": DBNAME} | given
    if problem := _first_problem(params):
        raise DatabaseSettingError(PARTS[problem[0]], problem[1])
    return CONNECTION_DEFAULTS | params


def _from_conninfo(name: str, text: str) -> dict[str, str]:
    """What libpq itself reads in a URL or a ``key=value`` string, so that all it supports survives."""
    try:
        params = {key: str(value) for key, value in conninfo_to_dict(text).items()}
    except ProgrammingError as error:
        raise DatabaseSettingError(
            name, f"{_without_quotations(str(error))} (want a PostgreSQL URL or key=value string; {ENCODING})"
        ) from None
    if problem := _first_problem(params):
        raise DatabaseSettingError(name, " ".join(problem))
    return CONNECTION_DEFAULTS | params


def _without_quotations(text: str) -> str:
    """libpq's message without the pieces of the URL it quotes: any of them may be part of the password."""
    return re.sub(r'"(?![=\]]").*"', '"…"', text.strip(), flags=re.DOTALL)


def _first_problem(params: Mapping[str, str]) -> tuple[str, str] | None:
    """What libpq would find out only while connecting. Values are not repeated: a mistyped URL puts passwords there."""
    hosts, ports = params.get("host", "").split(","), params.get("port", "").split(",")
    if "@" in params.get("host", ""):
        return "host", f"must not contain @; {ENCODING}"
    if not all(port == "" or _is_whole(port, 1, 65535) for port in ports):
        return "port", f"must be a whole number from 1 to 65535; {ENCODING}"
    if len(ports) not in (1, len(hosts)):
        return "port", "must be one for all hosts, or one for each"
    if not (params.get("dbname") or params.get("service")):
        return "dbname", "is missing: name the database"
    bad = [key for key in WHOLE_NUMBERS if not _is_whole(params.get(key, "0"), -1, 2**31 - 1)]
    return (bad[0], "must be a whole number") if bad else None


def _is_whole(text: str, low: int, high: int) -> bool:
    return bool(re.fullmatch(r"-?[0-9]{1,10}", text)) and low <= int(text) <= high
