"""What the payload of a SHELL task may say. Pure; running it is in `shell`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from access_app.refusals import bounded
from tasks_app.executors.base import JsonObject
from tasks_app.references import Kind, Place

_FIELDS = frozenset({"command", "argv", "workingDirectory", "environment"})
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Linux's MAX_ARG_STRLEN, 32 pages: execve(2) fails with E2BIG on a longer string, its closing NUL included.
MAX_STRING_BYTES = 131_072
#: Half of what Linux takes with the usual 8 MiB stack, and what macOS takes; each string costs a pointer too.
MAX_TOTAL_BYTES = 1_048_576
_POINTER_BYTES = 8
_MAX_PATH_BYTES = 4_096
_SHELLS = re.compile(r"(.*/)?(ba|da|a|z|k|mk|fi|tc|c|rba|pw)?sh")
_TAKES_A_WORD = re.compile(r"[-+][A-Za-z]*[oO]|--(rcfile|init-file)")
#: No command line has more options; each reference in it costs a look at them.
_LOOKED_AT = 1_000
#: Variables that choose which code a shell or the loader runs.
_CHOOSE_CODE = re.compile(r"(LD|DYLD)_.*|(BASH_)?ENV|PATH|IFS|PS4|SHELLOPTS|BASHOPTS")


def problems_of(payload: JsonObject) -> dict[str, str]:
    """What is wrong with a payload: a sentence for each field, none when it can be run."""
    problems = bounded(_problems(payload))
    if not problems and _size(payload) > MAX_TOTAL_BYTES:
        field = "environment" if "command" in payload else "argv"
        problems[field] = f"arguments and environment together must not take more than {MAX_TOTAL_BYTES} bytes"
    return problems


def argv_of(payload: JsonObject) -> list[str]:
    """The program and its arguments, of either kind of payload."""
    return payload["argv"] if "argv" in payload else ["/bin/sh", "-c", payload["command"]]


def input_at(payload: JsonObject, place: Place) -> Kind:
    """What a result becomes at a place: a word of ``argv``, or the value of a variable. Raises ValueError: why neither.

    No part of a result is read by a shell. Of ``argv`` that holds for the shells that are known by their names; a
    program that runs its arguments as code by another name is its task's own choice.
    """
    match place:
        case ("command", *_):
            raise ValueError(
                "takes no $from, as a shell would run what the result says: put it into environment, or into argv"
            )
        case ("argv", 0):
            raise ValueError("takes no $from: which program runs is not up to a result")
        case ("argv", int(index)):
            if _is_run_by_shell(payload["argv"][:index]):
                raise ValueError(
                    "takes no $from, as a shell would run what the result says: write the command yourself, and give"
                    " it the result behind that, as $1"
                )
            return Kind.TEXT
        case ("environment", str(name)):
            if _CHOOSE_CODE.fullmatch(name):
                raise ValueError("takes no $from: which code runs is not up to a result")
            return Kind.TEXT
    raise ValueError("takes no $from: elements of argv and values of environment do")


def _is_run_by_shell(before: list[object]) -> bool:
    """Whether the word behind these is what the first shell among them runs: the first one behind its options."""
    words = before[:_LOOKED_AT]
    shells = (at for at, word in enumerate(words) if isinstance(word, str) and _SHELLS.fullmatch(word))
    shell = next(shells, None)
    return shell is not None and not _has_operand(words[shell + 1 :])


def _has_operand(words: list[object]) -> bool:
    of_option = False
    for word in words:
        if not of_option and not (isinstance(word, str) and word[:1] in ("-", "+")):
            return True
        of_option = not of_option and isinstance(word, str) and _TAKES_A_WORD.fullmatch(word) is not None
    return False


def _problems(payload: JsonObject) -> Iterator[tuple[str, str]]:
    for name in payload.keys() - _FIELDS:
        yield name, "unknown field"
    if "command" in payload and "argv" in payload:
        yield "argv", "must not be given together with command"
    elif "argv" in payload:
        yield from _argv_problems(payload["argv"])
    else:
        yield from _text_problems("command", payload.get("command"), empty=False)
    if "workingDirectory" in payload:
        yield from _directory_problems(payload["workingDirectory"])
    yield from _environment_problems(payload.get("environment", {}))


def _argv_problems(argv: object) -> Iterator[tuple[str, str]]:
    if not isinstance(argv, list) or not argv:
        yield "argv", "must be a list of at least one string"
        return
    for index, word in enumerate(argv):
        yield from _text_problems(f"argv.{index}", word, empty=index > 0)


def _directory_problems(path: object) -> Iterator[tuple[str, str]]:
    problems = list(_text_problems("workingDirectory", path, empty=False, limit=_MAX_PATH_BYTES))
    if not problems and not str(path).startswith("/"):
        problems.append(("workingDirectory", "must be an absolute path"))
    yield from problems


def _environment_problems(environment: object) -> Iterator[tuple[str, str]]:
    if not isinstance(environment, dict):
        yield "environment", "must be an object of strings"
        return
    for name, value in environment.items():
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            yield "environment", f"{name!a} is not a variable name: letters, digits and _, not a digit first"
        else:
            room = MAX_STRING_BYTES - len(name) - 1
            yield from _text_problems(f"environment.{name}", value, empty=True, limit=room)


def _text_problems(
    field: str, value: object, *, empty: bool, limit: int = MAX_STRING_BYTES
) -> Iterator[tuple[str, str]]:
    if not isinstance(value, str) or not (value or empty):
        yield field, "must be a string" if empty else "must be a non-empty string"
    elif "\0" in value:
        yield field, "must not contain NUL"
    elif (size := _bytes(value)) is None:
        yield field, "must be valid Unicode, without lone surrogates"
    elif size >= limit:
        yield field, f"must be shorter than {limit} bytes: the operating system takes no longer ones"


def _bytes(text: str) -> int | None:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return None


def _size(payload: JsonObject) -> int:
    environment = payload.get("environment", {})
    words = [*argv_of(payload), *environment, *environment.values()]
    return sum(len(word.encode()) + 1 + _POINTER_BYTES for word in words)
