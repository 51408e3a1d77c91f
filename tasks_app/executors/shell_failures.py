"""What it means that a SHELL program failed or could not be started, in words that say the way out.

A program that could not run leaves an errno behind, which names no cause: ENOENT is a missing file, a missing
interpreter or a missing loader. So the file is looked at afterwards, as the worker sees it.
"""

# pathlib's own questions raise PermissionError where the account may not look.
# ruff: noqa: PTH110, PTH112
from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tasks_app.conf import Sandbox

#: What a shell returns for a program that is not there, and for one that cannot be run.
NOT_FOUND, NOT_RUNNABLE = 127, 126
_OF_A_SHELL: Final[dict[int, str]] = {
    NOT_FOUND: ": its shell did not find a program, or the interpreter of a script (see stderr)",
    NOT_RUNNABLE: ": its shell found what to run, but it cannot be executed (see stderr)",
}
_OF_A_SIGNAL: Final[dict[str, str]] = {
    "SIGKILL": ": by somebody, or by the kernel because memory ran out",
    "SIGXCPU": ": it used more time of the processor than its time-out leaves room for",
    "SIGXFSZ": ": a file it wrote would have grown beyond SHELL_MAX_FILE_MB",
}
_STEPS: Final[dict[str, str]] = {
    "scratch": "make a folder for temporary files",
    "limits": "hold a process to its limits",
    "sandbox": "confine a process as SHELL_SANDBOX says",
}
#: Linux reads no more of a script's first line (BINPRM_BUF_SIZE).
_FIRST_LINE_BYTES = 256


def ended(result: Mapping[str, Any], *, shell: bool) -> str:
    """How a program that was run failed; ``shell``: by /bin/sh, whose codes mean something (POSIX, "Exit Status")."""
    if result["signal"] is not None:
        return f"was ended by {result['signal']}{_OF_A_SIGNAL.get(result['signal'], '')}"
    if result["sandbox"] == Sandbox.BWRAP and result["exitCode"] == 1 and result["stderr"].startswith("bwrap: "):
        return f"could not be run in its sandbox: {result['stderr'].splitlines()[0]}"
    return f"exited with code {result['exitCode']}{_OF_A_SHELL.get(result['exitCode'], '') if shell else ''}"


def cannot_start(step: str, number: int) -> str:
    """What the worker itself could not do before the program's turn came."""
    return f"the worker cannot {_STEPS.get(step, 'start a process')}: {_system(number)}"


def cannot_enter(directory: str, number: int) -> str:
    """Why the program could not start in ``directory``: chdir(2) failed with errno ``number``."""
    match number:
        case errno.ENOENT:
            why = "it does not exist on this worker"
        case errno.ENOTDIR:
            why = "it, or a part of its path, is no directory"
        case errno.EACCES:
            why = "the account of this worker may not enter it"
        case _:
            why = _system(number)
    return f"cannot enter workingDirectory {directory!r}: {why}"


def cannot_run(program: str, number: int, *, cwd: str, env: Mapping[str, str]) -> str:
    """Why ``program`` could not run: execve(2) failed with errno ``number``, after a look along ``PATH``."""
    path = _found(program, cwd, env)
    if path is None and number in (errno.ENOENT, errno.ENOTDIR) and "/" not in program:
        why = f"no such program in PATH ({env.get('PATH', os.defpath)})"
    else:
        why = _why(path, number)
    return f"cannot run {program!r}: {why}"


def _found(program: str, cwd: str, env: Mapping[str, str]) -> Path | None:
    """The file that was meant: as given, relative to ``cwd``, else the first of its name along PATH."""
    folders = [""] if "/" in program else env.get("PATH", os.defpath).split(":")
    candidates = (Path(cwd, folder, program) for folder in folders)
    return next((path for path in candidates if os.path.lexists(path)), None)


def _why(path: Path | None, number: int) -> str:
    match number:
        case errno.ENOENT if path is not None:
            return _missing_interpreter(path)
        case errno.ENOENT:
            return "no such file on this worker"
        case errno.ENOTDIR:
            return "a part of its path is no directory"
        case errno.EACCES if path is not None:
            return _not_permitted(path)
        case errno.ENOEXEC:
            return "it is no program for this system, and its first line names no interpreter (#!/bin/sh)"
        case errno.ETXTBSY:
            return "it is open for writing at the moment"
        case errno.E2BIG:
            return "its arguments and environment together are longer than this system takes"
    return _system(number)


def _missing_interpreter(path: Path) -> str:
    """The file is there, so what is missing is what should run it."""
    if not os.path.exists(path):
        return "it is a symbolic link to nothing"
    line = _first_line(path)
    words = line[2:].split(None, 1) if line.startswith(b"#!") else []
    if not words:
        return "the loader that it needs is missing: it was built for another system"
    # Split at blanks as the kernel splits, to whom a carriage return is a part of the name.
    interpreter = line[2:].strip(b" \t").replace(b"\t", b" ").split(b" ")[0]
    name = interpreter.decode("utf-8", "replace")
    hint = "; the line ends as Windows ends lines (\\r\\n), save it with \\n" if name.endswith("\r") else ""
    return f"its interpreter {name!r} is missing{hint}"


def _not_permitted(path: Path) -> str:
    if os.path.isdir(path):
        return "it is a directory"
    if not os.access(path, os.X_OK):
        return "it is not executable for the account of this worker (chmod +x)"
    return "permission denied: its file system is mounted noexec, or the interpreter it names is not executable"


def _first_line(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_FIRST_LINE_BYTES).partition(b"\n")[0]
    except OSError:
        return b""


def _system(number: int) -> str:
    return os.strerror(number)
