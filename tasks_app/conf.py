"""Every knob of the scheduler: its environment variable, type, unit, default and one line why.

Pure: `load` turns a mapping of strings into a frozen `Config` or raises `ConfigErrors` with every bad name at once.
``scheduler_project/settings.py`` is the only reader of the environment; code reads ``django.conf.settings.SCHEDULER``.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from enum import StrEnum
from typing import Any

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Variables that choose or change any program that is run, whatever it is.
_PROGRAM_CHOOSER = re.compile(r"PATH|LD_.*|DYLD_.*|GCONV_PATH")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ConfigErrors(ValueError):
    """Settings that cannot be used. ``problems`` maps a variable's name to what is wrong with it."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("\n".join(f"{name}: {text}" for name, text in problems.items()))
        self.problems = dict(problems)


class Profile(StrEnum):
    DEV = "dev"
    TEST = "test"
    PROD = "prod"


class LogFormat(StrEnum):
    CONSOLE = "console"
    JSON = "json"


class Sandbox(StrEnum):
    """How far SHELL tasks are confined, weakest first: see ``executors/shell_sandbox.py``."""

    NONE = "none"
    LIMITS = "limits"
    LANDLOCK = "landlock"
    BWRAP = "bwrap"


def parse_bool(text: str) -> bool:
    match text.strip().lower():
        case "1" | "true" | "yes" | "on":
            return True
        case "0" | "false" | "no" | "off":
            return False
    raise ValueError(f"must be true or false, not {text!r}")


def whole_number(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text) if text.isascii() else None  # int() reads the digits of every script
        except ValueError:
            number = None
        if number is None or not low <= number <= high:
            raise ValueError(f"must be a whole number from {low} to {high}, not {text!r}")
        return number

    return parse


def milliseconds(low: int, high: int) -> Callable[[str], timedelta]:
    parse = whole_number(low, high)
    return lambda text: timedelta(milliseconds=parse(text))


def hours(low: int, high: int) -> Callable[[str], timedelta]:
    parse = whole_number(low, high)
    return lambda text: timedelta(hours=parse(text))


def days(text: str) -> timedelta | None:
    """A number of days, fractions allowed; 0 keeps for ever (None)."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 36_500:
        raise ValueError(f"must be a number of days from 0 to 36500, not {text!r}")
    return timedelta(days=number) or None


def words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def programs(text: str) -> tuple[str, ...]:
    """Absolute paths, and names to be found along the worker's PATH."""
    for word in words(text):
        if "/" in word and not word.startswith("/"):
            raise ValueError(f"must be absolute paths or plain names: {word!r} depends on a task's workingDirectory")
    return words(text)


def folders(text: str) -> tuple[str, ...]:
    for word in words(text):
        if not word.startswith("/") or not word.strip("/"):
            raise ValueError(f"must be absolute paths of folders, and not the root of all: {word!r} is not")
    return words(text)


def variables(text: str) -> tuple[str, ...]:
    for word in words(text):
        if not _VARIABLE.fullmatch(word):
            raise ValueError(f"must be names of variables, as in REGION,DRY_RUN: {word!r} is none")
        if _PROGRAM_CHOOSER.fullmatch(word):
            raise ValueError(f"must be names that choose no program: {word} makes a listed command run another one")
    return words(text)


def networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(word) for word in words(text))
    except ValueError as error:
        raise ValueError(f"must be a list of networks like 10.0.0.0/8,fd00::/8: {error}") from None


def networks_or_none(text: str) -> tuple[Network, ...]:
    """Like `networks`; ``none`` is an empty list, where an empty text would be the default."""
    return () if text.strip().lower() == "none" else networks(text)


def one_of(kind: type[StrEnum]) -> Callable[[str], Any]:
    def parse(text: str) -> StrEnum:
        try:
            return kind(text.strip().lower())
        except ValueError:
            raise ValueError(f"must be one of {', '.join(kind)}, not {text!r}") from None

    return parse


def log_level(text: str) -> str:
    level = text.strip().upper()
    if level not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
        raise ValueError(f"must be DEBUG, INFO, WARNING, ERROR or CRITICAL, not {text!r}")
    return level


def _knob(env: str, parse: Callable[[str], Any], default: str, why: str, **by_profile: str) -> Any:
    """A field read from ``env``; ``default`` (or the one of the profile) is written as a person would write it."""
    return field(metadata={"env": env, "parse": parse, "default": default, "why": why, "by_profile": by_profile})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All knobs, parsed. Durations are `timedelta`; the ``_MS`` unit exists in the environment only."""

    profile: Profile = _knob(
        "SCHEDULER_PROFILE", one_of(Profile), "dev", "dev, test or prod; prod refuses unsafe settings"
    )
    scheduler_enabled: bool = _knob(
        "SCHEDULER_ENABLED", parse_bool, "true", "false: runall leaves the scheduler out, runscheduler exits 0"
    )
    worker_enabled: bool = _knob(
        "WORKER_ENABLED", parse_bool, "true", "false: runall leaves the worker out, runworker exits 0"
    )
    polling_interval: timedelta = _knob(
        "SCHEDULER_POLLING_INTERVAL_MS",
        milliseconds(10, 3_600_000),
        "1000",
        "longest time a scheduler rests; also what a lost wake-up costs at most",
    )
    heartbeat_interval: timedelta = _knob(
        "WORKER_HEARTBEAT_INTERVAL_MS", milliseconds(50, 600_000), "2000", "time between two beats of an idle worker"
    )
    heartbeat_timeout: timedelta = _knob(
        "WORKER_HEARTBEAT_TIMEOUT_MS",
        milliseconds(2_500, 3_600_000),
        "15000",
        "the lease: a worker without an accepted beat for this long has dropped its work, and is declared dead",
    )
    fast_death_enabled: bool = _knob(
        "WORKER_FAST_DEATH_ENABLED",
        parse_bool,
        "false",
        "true: two missed beats and a closed wake-up connection count as death; only without a network in between",
    )
    default_max_retries: int = _knob(
        "RETRY_DEFAULT_MAX_RETRIES", whole_number(0, 1000), "3", "maxRetries of a task that names none"
    )
    retry_base_delay: timedelta = _knob(
        "RETRY_BASE_DELAY_MS", milliseconds(0, 86_400_000), "1000", "delay before the first retry"
    )
    retry_max_delay: timedelta = _knob(
        "RETRY_MAX_DELAY_MS", milliseconds(0, 2_592_000_000), "300000", "longest delay before a retry"
    )
    max_crashes: int = _knob(
        "TASK_MAX_CRASHES", whole_number(1, 1000), "3", "lost workers after which a task is quarantined"
    )
    failure_detection_interval: timedelta = _knob(
        "MONITORING_FAILURE_DETECTION_INTERVAL_MS",
        milliseconds(50, 600_000),
        "2000",
        "time between two looks for dead workers and their tasks",
    )
    metrics_enabled: bool = _knob(
        "METRICS_COLLECTION_ENABLED", parse_bool, "true", "false: GET /metrics answers 404 and nothing is counted"
    )
    retention_success: timedelta | None = _knob(
        "RETENTION_SUCCESS_DAYS", days, "7", "days SUCCESS and CANCELLED tasks are kept; 0 for ever"
    )
    retention_failed: timedelta | None = _knob(
        "RETENTION_FAILED_DAYS", days, "30", "days FAILED tasks are kept; 0 for ever"
    )
    log_level: str = _knob("LOG_LEVEL", log_level, "INFO", "lowest level written to stderr")
    log_format: LogFormat = _knob(
        "LOG_FORMAT", one_of(LogFormat), "console", "console for people, json for machines", prod="json"
    )
    shell_tasks_enabled: bool = _knob(
        "SHELL_TASKS_ENABLED", parse_bool, "true", "whether this worker runs SHELL tasks at all", prod="false"
    )
    shell_allowed_commands: tuple[str, ...] = _knob(
        "SHELL_ALLOWED_COMMANDS", programs, "", "when set, only argv tasks whose first element is listed run"
    )
    shell_allowed_environment: tuple[str, ...] = _knob(
        "SHELL_ALLOWED_ENVIRONMENT",
        variables,
        "",
        "with SHELL_ALLOWED_COMMANDS: the names environment may have; any other could turn a listed program",
    )
    shell_sandbox: Sandbox = _knob(
        "SHELL_SANDBOX", one_of(Sandbox), "limits", "how far SHELL tasks are confined: none, limits, landlock or bwrap"
    )
    shell_writable_paths: tuple[str, ...] = _knob(
        "SHELL_WRITABLE_PATHS", folders, "", "with landlock or bwrap: where a task may write beside its own TMPDIR"
    )
    shell_max_memory_mb: int = _knob(
        "SHELL_MAX_MEMORY_MB", whole_number(0, 2**30), "0", "address space of each process of a SHELL task; 0: any"
    )
    shell_max_file_mb: int = _knob(
        "SHELL_MAX_FILE_MB", whole_number(0, 2**30), "10240", "largest file a SHELL task may write; 0: any"
    )
    http_allowed_private_networks: tuple[Network, ...] = _knob(
        "HTTP_ALLOWED_PRIVATE_NETWORKS",
        networks,
        "127.0.0.0/8,::1/128",
        "networks HTTP tasks may reach although they are not public",
        prod="",
    )
    session_lifetime: timedelta = _knob(
        "SESSION_HOURS", hours(1, 8_760), "12", "hours after which somebody who logged in has to do it again"
    )
    api_key_default_expiry: timedelta | None = _knob(
        "API_KEY_DEFAULT_EXPIRY_DAYS", days, "365", "days a new API key is valid when nobody says how long; 0 for ever"
    )
    trusted_proxies: tuple[Network, ...] = _knob(
        "TRUSTED_PROXIES",
        networks_or_none,
        "127.0.0.0/8,::1/128",
        "networks of proxies that are believed about a client's address and about HTTPS",
    )
    executors: tuple[str, ...] = _knob(
        "TASK_EXECUTORS", words, "", "dotted paths of executor classes for further task types"
    )

    @property
    def lease_margin(self) -> timedelta:
        """How long before its lease ends a worker drops its work: a fifth of the lease, at least one second."""
        return max(timedelta(seconds=1), self.heartbeat_timeout / 5)


def load(environ: Mapping[str, str]) -> Config:
    """Parse every knob; an empty value counts as absent. Raises `ConfigErrors` naming each bad variable."""
    values: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for knob in fields(Config):
        name, parse = knob.metadata["env"], knob.metadata["parse"]
        default = knob.metadata["by_profile"].get(values.get("profile", Profile.DEV), knob.metadata["default"])
        try:
            values[knob.name] = parse(environ.get(name) or default)
        except ValueError as error:
            problems[name] = str(error)
            values[knob.name] = parse(default)
    config = Config(**values)
    problems = _combinations(config) | problems
    if problems:
        raise ConfigErrors(problems)
    return config


def _combinations(config: Config) -> dict[str, str]:
    """Values that are each fine but not together."""
    problems: dict[str, str] = {}
    usable = config.heartbeat_timeout - config.lease_margin
    if config.heartbeat_interval > usable * 3 / 4:
        problems["WORKER_HEARTBEAT_INTERVAL_MS"] = (
            "must not be above three quarters of WORKER_HEARTBEAT_TIMEOUT_MS less its margin "
            f"({usable * 3 / 4 / timedelta(milliseconds=1):g} ms): a beat needs time to arrive"
        )
    if config.shell_allowed_environment and not config.shell_allowed_commands:
        problems["SHELL_ALLOWED_ENVIRONMENT"] = (
            "must be set together with SHELL_ALLOWED_COMMANDS: without that a command sets what it likes"
        )
    if config.shell_writable_paths and config.shell_sandbox in (Sandbox.NONE, Sandbox.LIMITS):
        problems["SHELL_WRITABLE_PATHS"] = (
            "must be set together with SHELL_SANDBOX=landlock or bwrap: the other levels let a task write anywhere"
        )
    if config.retry_base_delay > config.retry_max_delay:
        problems["RETRY_BASE_DELAY_MS"] = "must not be above RETRY_MAX_DELAY_MS"
    return problems
