"""The options of bubblewrap, bwrap(1), that give a task namespaces of its own. Standard library only, for `launcher`.

The system's folders read-only, ``/tmp`` of its own, ``/proc`` with its own processes only, no capability. The network
stays. Signals and exit codes pass through bwrap, which returns 128 and the number for a program that a signal ended.
"""

# pathlib would cost start-up time, and memory that every fork copies.
# ruff: noqa: PTH110, PTH114, PTH115
from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

#: Where the task finds its folder for temporary files.
SCRATCH = "/tmp"  # noqa: S108 - its own


def options(readable: Iterable[str], writable: Iterable[str], *, scratch: str, cwd: str) -> list[str]:
    """All options in front of the command. Folders of the system that this one does not have are left out."""
    # A user namespace for root too, whose commands have no CAP_SYS_ADMIN.
    words = ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--die-with-parent", "--cap-drop", "ALL"]
    for path in readable:
        if os.path.islink(path):  # as /bin is to usr/bin
            words += ["--symlink", os.readlink(path), path]
        elif os.path.exists(path):  # and this account may reach it
            words += ["--ro-bind", path, path]
    words += ["--proc", "/proc", "--dev", "/dev", "--bind", scratch, SCRATCH]
    for path in writable:
        words += ["--bind", path, path]
    return [*words, "--remount-ro", "/", "--chdir", cwd]


def variables(env: Mapping[bytes, bytes]) -> Iterator[bytes]:
    """Options that set the task's variables, for a bwrap that is run without any."""
    for name, value in env.items():
        yield from (b"--setenv", name, value)


def passed(words: Iterable[bytes]) -> list[bytes]:
    """Arguments that have bwrap read these from a file in memory: arguments themselves are for everybody to see."""
    file = os.memfd_create("bwrap", 0)
    with open(file, "wb", closefd=False) as written:
        written.write(b"\0".join([*words, b""]))
    os.lseek(file, 0, os.SEEK_SET)
    return [b"--args", b"%d" % file, b"--"]
