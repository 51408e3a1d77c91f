"""The kinds of values that settings have: each turns what a person wrote into a value, or raises ValueError saying why.

Which setting is of which kind stands in ``knobs``.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import Any

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Variables that choose or change any program that is run, whatever it is.
_PROGRAM_CHOOSER = re.compile(r"PATH|LD_.*|DYLD_.*|GCONV_PATH")

#: Bytes of output that can be kept of each end, if any are.
LEAST_OUTPUT = 4096
MOST_OUTPUT = 64 * 1024 * 1024

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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


def nothing_or_bytes(text: str) -> int:
    size = whole_number(0, MOST_OUTPUT)(text)
    if 0 < size < LEAST_OUTPUT:
        raise ValueError(f"must be 0 or a whole number from {LEAST_OUTPUT} to {MOST_OUTPUT}, not {text!r}")
    return size


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
