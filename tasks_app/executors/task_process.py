"""A fresh fork of a shepherd becomes the program of a task. Standard library only, for `launcher`.

    session → limits → chdir → sandbox → exec

Each step is done in full or the program does not run: what failed is written as ``step errno`` to the shepherd.
"""

# pathlib would cost start-up time, and memory that every fork copies.
from __future__ import annotations

import errno
import os
import signal
from typing import Any, NoReturn

from tasks_app.executors import bwrap, landlock, limits
from tasks_app.executors.kernel import PR_SET_PDEATHSIG, prctl

#: Ignored by launcher and shepherds: a Ctrl-C, or a service manager's TERM, is for the worker; they follow its EOF.
IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE)


def become(request: dict[str, Any], *, shepherd: int, control: int, stdout: int, stderr: int, verdict: int) -> NoReturn:
    """Run ``request``'s program in this process. Its first byte on ``verdict`` says that its process group exists."""
    step = "session"
    try:
        os.setsid()
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != shepherd:  # it died before the line above
            os._exit(127)
        for number in IGNORED:
            signal.signal(number, signal.SIG_DFL)
        os.write(verdict, b"R")
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        os.close(control)  # before `limits`, from where on others of this account can look into this process
        step = "sandbox"
        argv, env, runs = _wrapped(request)
        step = "limits"
        if request["limits"]:
            limits.apply(request["limits"])
        step = "chdir"
        os.chdir(encode(request["cwd"]))
        step = "sandbox"
        _confine(request)
        step = runs
        os.execvpe(argv[0], argv, env)  # noqa: S606 - no shell is the point
    except OSError as error:
        os.write(verdict, f"{step} {error.errno}".encode())
    finally:
        os._exit(127)


def _wrapped(request: dict[str, Any]) -> tuple[list[bytes], dict[bytes, bytes], str]:
    """The command and its variables, inside bwrap where that is the level; and which step it is to execute that."""
    argv = [encode(word) for word in request["argv"]]
    env = {encode(name): encode(value) for name, value in request["env"].items()}
    match request["sandbox"]:
        case {"level": "bwrap", "program": program, "readable": readable, "writable": writable}:
            if not program:
                raise FileNotFoundError(errno.ENOENT, "bwrap")
            options = bwrap.options(readable, writable, scratch=request["scratch"], cwd=request["inside"])
            # None of the task's variables for bwrap itself: LD_PRELOAD would have it run what it is to confine.
            passed = bwrap.passed([*map(encode, options), *bwrap.variables(env)])
            return [encode(program), *passed, *argv], {}, "sandbox"
    return argv, env, "exec"


def _confine(request: dict[str, Any]) -> None:
    match request["sandbox"]:
        case {"level": "landlock", "readable": readable, "writable": writable}:
            landlock.restrict(readable=readable, writable=[*writable, request["scratch"]])


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
