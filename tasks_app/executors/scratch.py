"""A task's own folder for temporary files, removed when it has ended. Standard library only, for `launcher`.

A folder belongs to the process that holds its lock (flock(2)), which ends with that process however it ends: whoever
finds a folder without an owner removes it.
"""

# pathlib would cost start-up time, and memory that every fork copies.
# ruff: noqa: PTH101, PTH102, PTH106, PTH116, PTH118, PTH208
from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator

PREFIX = "task-scheduler-shell-"
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Scratch:
    """One folder, of mode 0700 and this process's. Raises OSError when it cannot be made."""

    def __init__(self, base: str) -> None:
        while True:
            self.path = os.path.join(base, PREFIX + os.urandom(8).hex())
            os.mkdir(self.path, 0o700)
            with contextlib.suppress(FileNotFoundError):
                self._folder = os.open(self.path, _OPEN)
                fcntl.flock(self._folder, fcntl.LOCK_EX)
                if os.path.samestat(os.fstat(self._folder), os.stat(self.path)):
                    return
            # A sweeper came between the lines above, and took it for one that nobody owns.

    def remove(self) -> None:
        _remove(self.path, self._folder)


def sweep(base: str) -> None:
    """Remove the folders below ``base`` that are this account's and have no owner any more."""
    with contextlib.suppress(OSError):
        for name in os.listdir(base):
            if name.startswith(PREFIX):
                _remove_unowned(os.path.join(base, name))


def _remove_unowned(path: str) -> None:
    with contextlib.suppress(OSError):
        found = os.lstat(path)
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
            os.chmod(path, 0o700)
            with _opened(path) as folder:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(path, folder)


def _remove(path: str, top: int) -> None:
    """Remove a folder with all that is in it, as far as it lets us; follow no link, not even one in its own place.

    A task may leave what it likes: folders without permissions, or nested so deep that no path and no recursion reaches
    the end. So folders that are not empty are first moved to the top, and emptied there.
    """
    with contextlib.suppress(OSError):
        os.fchmod(top, 0o700)
        while _empty(top, top):
            pass
    with contextlib.suppress(OSError):
        os.rmdir(path)


def _empty(folder: int, top: int) -> bool:
    """Remove what is in ``folder``, and move what is not empty to the top; whether another pass has something to do."""
    again = False
    for name in os.listdir(folder):
        with contextlib.suppress(OSError):
            if not stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
                os.unlink(name, dir_fd=folder)
            elif not _removed(name, folder):
                os.chmod(name, 0o700, dir_fd=folder)
                again |= _unpack(name, top) if folder == top else _raise(name, folder, top)
    return again


def _raise(name: str, folder: int, top: int) -> bool:
    os.rename(name, os.urandom(8).hex(), src_dir_fd=folder, dst_dir_fd=top)
    return True


def _unpack(name: str, top: int) -> bool:
    """Empty a folder at the top by one level; whether that has changed anything: some things cannot be removed."""
    with _opened(name, top) as folder:
        before = len(os.listdir(folder))
        _empty(folder, top)
        after = len(os.listdir(folder))
    return _removed(name, top) or after < before


def _removed(name: str, folder: int) -> bool:
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _opened(path: str, folder: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, _OPEN, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
