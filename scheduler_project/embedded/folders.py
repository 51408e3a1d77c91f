"""Folders and the lock file of the embedded server.

No mode or owner of anything that was there before is ever changed, and a folder that stands where everybody may write
is checked before it is trusted.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scheduler_project.embedded.location import Account, EmbeddedError


def make_parents(path: Path) -> None:
    """Make the missing folders above ``path``; root's are open to the server's account whatever the umask."""
    for folder in reversed(path.parents):
        if not folder.exists():
            folder.mkdir(exist_ok=True)
            if os.geteuid() == 0:
                folder.chmod(0o755)


def scratches(beside: Path) -> Iterator[Path]:
    """Those folders of `make_scratch` that were never renamed."""
    return beside.parent.glob(f"{beside.name}.new-*")


def make_scratch(beside: Path, account: Account) -> Path:
    """An empty folder of the account's, for work that is then renamed to ``beside``."""
    folder = Path(tempfile.mkdtemp(prefix=f"{beside.name}.new-", dir=beside.parent))
    give(folder, account)
    return folder


def claim(folder: Path, account: Account, *, mode: int) -> None:
    """Make a folder of the account's in a place open to all, or check that the one there is its own and no other's."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if _is_folder_of(os.geteuid(), folder):  # new, or left half made by a killed process of ours
        folder.chmod(mode)
        give(folder, account)
    if not _is_folder_of(account.uid, folder) or folder.lstat().st_mode & 0o777 & ~mode:
        raise EmbeddedError(f"{folder} is not {account}'s own: look who made it, and remove it")


def _is_folder_of(uid: int, folder: Path) -> bool:
    status = folder.lstat()  # not stat: a symbolic link here is somebody's trick
    return stat.S_ISDIR(status.st_mode) and status.st_uid == uid


def give(folder: Path, account: Account) -> None:
    if account.uid != os.geteuid():
        os.chown(folder, account.uid, account.gid)


@contextmanager
def locked(lock: Path) -> Iterator[None]:
    """Hold an exclusive lock, waiting for whoever holds it; the kernel frees it when its holder dies."""
    while True:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_still(lock, descriptor):
                yield
                return
        finally:
            os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the lock we waited for is still the one others will take: `remove` deletes it with the data."""
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False
