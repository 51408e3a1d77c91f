"""What a crontab says, line by line, as crontab(5) of Debian's cron and of cronie reads it. Pure.

A line is a comment, sets a variable for the lines below it, or is a job: five fields or an ``@`` name, in
/etc/crontab and /etc/cron.d a user, and the rest is the command. In the command ``%`` ends a line: what comes behind
the first is the command's input; ``\\%`` is a percent sign.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

#: Variables that cron reads itself. What the commands see of them, and why not.
_FOR_CRON: Final = {
    **dict.fromkeys(
        ("MAILTO", "MAILFROM", "MAILBODY", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING"),
        "no mail is sent: results are kept with each task, alerts come from /metrics",
    ),
    **dict.fromkeys(("LOGNAME", "USER"), "tasks run as the account of their worker"),
    "START_HOURS_RANGE": "anacron reads it, cron does not",
}
_VARIABLE: Final = re.compile(r"""("|'|)([A-Za-z_][A-Za-z0-9_]*)\1\s*=\s*(.*)""", re.ASCII | re.DOTALL)
_JOB: Final = re.compile(r"(@\S+|\S+(?:\s+\S+){4})\s+(\S.*)", re.DOTALL)
_USER: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*\$?)(?::[\w.-]+)?(?:/[\w.-]+)?\s+(\S.*)", re.ASCII | re.DOTALL)
#: What every new crontab begins with; nothing that describes a job.
_HEADING: Final = re.compile(r"[#\s]*(m\s+h\s+dom\s+mon\s+dow\b|[.|*\-\s]+($|\w+.*\(\d+ ?- ?\d+\)))", re.IGNORECASE)
_LONGEST_HEADING: Final = 200
DEFAULT_SHELL: Final = "/bin/sh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A line that runs something."""

    number: int
    cron: str
    command: str
    user: str = ""
    #: What the command reads, if the line says so.
    input: str | None = None
    #: The variables that stand above it.
    variables: Mapping[str, str] = field(default_factory=dict)
    #: The comment right above it.
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A line that sets a variable: with what becomes of it."""

    number: int
    text: str
    is_ignored: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A line that is neither."""

    number: int
    problem: str


def read_crontab(text: str, *, user_column: bool) -> Iterator[Job | Note | Unreadable]:
    """The lines that mean something, in order; nothing is checked but their form."""
    variables: dict[str, str] = {}
    comment: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip(" \t\r")
        if line.startswith("#"):
            comment.append(line)
            continue
        if found := _VARIABLE.fullmatch(line):
            name, value = found[2], _unquoted(found[3])
            yield Note(number=number, text=_about(name, value), is_ignored=name in _FOR_CRON)
            if name not in _FOR_CRON:
                variables = variables | {name: value}
        elif line:
            yield _job(number, line, user_column, variables, _described(comment))
        comment = []


def split_input(command: str) -> tuple[str, str | None]:
    """A command and its input, divided at the first ``%``. In the command a backslash takes the next sign with it."""
    signs: list[str] = []
    escaped = False
    for place, sign in enumerate(command):
        if sign == "%" and not escaped:
            return "".join(signs).rstrip(), _input(command[place + 1 :])
        if sign == "%":
            signs.pop()
        signs.append(sign)
        escaped = sign == "\\" and not escaped
    return "".join(signs).rstrip(), None


def _input(text: str) -> str:
    """Lines that end with ``%``, the last one with or without. Here a backslash counts before ``%`` only."""
    lines = re.sub(r"(\\?)%", lambda found: "%" if found[1] else "\n", text)
    return lines if not lines or lines.endswith("\n") else f"{lines}\n"


def _job(number: int, line: str, user_column: bool, variables: dict[str, str], comment: str) -> Job | Unreadable:
    found = _JOB.fullmatch(line)
    if found is None:
        name = line.startswith("@")
        problem = "has no command behind " + ("its name" if name else "its five fields")
        return Unreadable(number=number, problem=problem)
    cron, rest, user = " ".join(found[1].split()), found[2], ""
    if user_column:
        column = _USER.fullmatch(rest)
        if column is None:
            return Unreadable(number=number, problem="has no user and command behind its times")
        user, rest = column[1], column[2]
    command, given = split_input(rest)
    return Job(number=number, cron=cron, command=command, user=user, input=given, variables=variables, comment=comment)


def _about(name: str, value: str) -> str:
    if name in _FOR_CRON:
        return f"{name}={value}: {_FOR_CRON[name]}"
    if name == "CRON_TZ":
        return f"CRON_TZ={value}: the clock of the lines below"
    if name == "SHELL":
        return f"SHELL={value}: runs the commands below"
    if name == "HOME":
        return f"HOME={value}: the folder of the commands below"
    if name == "RANDOM_DELAY":
        return f"RANDOM_DELAY={value}: up to so many minutes of jitter below"
    return f"{name}={value}: set for the commands below"


def _unquoted(value: str) -> str:
    """Quotes keep blanks; nothing else is done to a value, ``$`` included."""
    quoted = re.fullmatch(r"""("|')(.*)\1""", value, re.DOTALL)
    return quoted[2] if quoted else value


def _described(comment: list[str]) -> str:
    """Comments in one text, without headings and lines that are only commented out."""
    texts = (line.lstrip("#").strip() for line in comment if not _HEADING.match(line[:_LONGEST_HEADING]))
    return "\n".join(text for text in texts if text and not _is_job(text))


def _is_job(text: str) -> bool:
    found = _JOB.fullmatch(text)
    return found is not None and (text.startswith("@") or not re.search(r"[^0-9*,/ \t-]", found[1]))
