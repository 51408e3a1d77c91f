"""The environment variables that mean something here: which there are, where each value comes from, and names that
look like one of them and are none.

What the values mean is read elsewhere: in ``tasks_app/conf``, in ``settings``, ``database`` and ``serving``.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import environ
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tasks_app import conf

HIDDEN: Final = "***"
#: Variables that are no field of `conf.Config`, with their defaults as a person would write them.
OTHERS: Final[Mapping[str, str]] = {
    "DATABASE_URL": "",
    "DB_HOST": "",
    "DB_PORT": "5432",
    "DB_NAME": "task_scheduler",
    "DB_USERNAME": "task_scheduler",
    "DB_PASSWORD": "",
    "DIRECT_DATABASE_URL": "",
    "EMBEDDED_DATA_DIR": ".data/postgres",
    "PG_BINDIR": "",
    "SECRET_KEY": "",
    "TASK_TOKEN_KEY": "",
    "DEBUG": "false",
    "ALLOWED_HOSTS": "localhost,127.0.0.1,[::1],testserver",
    "CSRF_TRUSTED_ORIGINS": "",
    "HOST": "127.0.0.1",
    "PORT": "8000",
    "WEB_WORKERS": "2",
    "WEB_THREADS": "8",
    "PROMETHEUS_MULTIPROC_DIR": "",
}
#: Shown as three stars; of addresses of databases, only the password is.
_SECRETS: Final = frozenset({"SECRET_KEY", "TASK_TOKEN_KEY", "DB_PASSWORD"})
_ADDRESSES: Final = frozenset({"DATABASE_URL", "DIRECT_DATABASE_URL"})
#: Names that begin so are taken for ours. Not ``HTTP_``, ``SHELL_`` or ``LOG_``: other programs have many of those.
_OUR_BEGINNINGS: Final = (
    "SCHEDULER_", "WORKER_", "RETRY_", "TASK_MAX", "MONITORING_", "RETENTION_", "METRICS_COLLECTION",
    "SHELL_TASKS", "SHELL_ALLOWED", "SHELL_SANDBOX", "SHELL_WRITABLE", "SHELL_MAX", "HTTP_ALLOWED", "EMBEDDED_",
    "DB_", "WEB_", "DIRECT_DATABASE", "DATABASE_",
)  # fmt: skip
#: Where a slip would not only change nothing but leave open what somebody meant to close.
_MUST_BE_MEANT: Final = frozenset(
    {"SCHEDULER_PROFILE", "SHELL_TASKS_ENABLED", "SHELL_ALLOWED_COMMANDS", "SHELL_SANDBOX"}
)
_WHICH_DATABASE: Final = frozenset({"DATABASE_URL", "DB_HOST"})
#: How alike (`difflib.SequenceMatcher.ratio`) a name must be to be a slip of the pen, and one with our beginning.
_SLIP: Final = 0.85
_SAME_BEGINNING: Final = 0.5


class Source(StrEnum):
    ENVIRONMENT = "environment"
    FILE = ".env"
    DEFAULT = "default"
    PROFILE = "default of the profile"


@dataclass(frozen=True, slots=True)
class Shown:
    """A variable as people may see it: secrets are masked."""

    name: str
    value: str
    source: Source


@dataclass(frozen=True, slots=True)
class Stranger:
    """A variable that is none of ours and looks like one. ``nearest`` is the one it may have been meant to be."""

    name: str
    nearest: str | None
    is_slip: bool

    def __str__(self) -> str:
        return "is not known" + (f": did you mean {self.nearest}?" if self.nearest else "")


def known() -> dict[str, str]:
    """Every variable with its default, `conf.Config`'s first."""
    return {knob.metadata["env"]: knob.metadata["default"] for knob in fields(conf.Config)} | dict(OTHERS)


def read_file(path: Path) -> frozenset[str]:
    """Add what a file of ``NAME=value`` lines has and the environment has not; return the names that came from it."""
    before = set(os.environ)
    environ.Env.read_env(path, overwrite=False)
    return frozenset(set(os.environ) - before)


def strangers(variables: Mapping[str, str]) -> list[Stranger]:
    """Names that nobody here reads but that somebody may have meant for us, in order."""
    names = known()
    found = (_stranger(name, names) for name in sorted(variables) if name not in names)
    return [stranger for stranger in found if stranger is not None]


def refused(found: Sequence[Stranger], *, on_embedded: bool) -> dict[str, str]:
    """The slips with which no process may start: on another database, or with less protection, than was meant."""
    serious = _MUST_BE_MEANT | (_WHICH_DATABASE if on_embedded else frozenset())
    return {slip.name: str(slip) for slip in found if slip.is_slip and slip.nearest in serious}


def _stranger(name: str, names: Mapping[str, str]) -> Stranger | None:
    ours = name.startswith(_OUR_BEGINNINGS)
    wanted = difflib.get_close_matches(name.upper(), names, n=1, cutoff=_SAME_BEGINNING if ours else _SLIP)
    if not (wanted or ours):
        return None
    nearest = wanted[0] if wanted else None
    slip = nearest is not None and difflib.SequenceMatcher(None, name.upper(), nearest).ratio() >= _SLIP
    return Stranger(name, nearest, slip)


def shown(variables: Mapping[str, str], *, from_file: frozenset[str], profile: str) -> Iterator[Shown]:
    """Each variable with the value that counts and where it comes from. An empty value counts as absent."""
    by_profile: dict[str, Any] = {knob.metadata["env"]: knob.metadata["by_profile"] for knob in fields(conf.Config)}
    for name, default in known().items():
        if text := variables.get(name, "").strip():
            source = Source.FILE if name in from_file else Source.ENVIRONMENT
            yield Shown(name, masked(name, text), source)
        elif profile in by_profile.get(name, {}):
            yield Shown(name, by_profile[name][profile], Source.PROFILE)
        else:
            yield Shown(name, default, Source.DEFAULT)


def masked(name: str, text: str) -> str:
    """A value without what must not be shown."""
    if name in _SECRETS:
        return HIDDEN
    return _without_password(text) if name in _ADDRESSES and text.lower() != "off" else text


def _without_password(text: str) -> str:
    """An address as libpq understands it, in its ``key=value`` form; nothing of one that libpq does not understand."""
    try:
        params = conninfo_to_dict(text)
    except ProgrammingError:
        return HIDDEN
    return make_conninfo(**{key: HIDDEN if "password" in key else str(value) for key, value in params.items()})
