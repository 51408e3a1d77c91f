"""Taking file access away from this process and all it starts: landlock(7). Standard library only, for `launcher`.

Needs no privilege, and cannot be undone. Reading and executing stays possible in some folders, everything in a few;
sockets stay as they are. From Linux 6.12 on, nothing outside can be signalled either.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterable

from tasks_app.executors.kernel import LINUX, libc

#: Before ABI 3 (Linux 6.2) any file may be truncated.
OLDEST_ABI = 3
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
#: Making devices is for nobody: with the number of a disk, one would open all files on it.
_MAKE_DEVICES = 1 << 6 | 1 << 11
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_SCOPE_SIGNALS_ABI, _IOCTL_ABI = 6, 5
_SCOPE_ABSTRACT_UNIX_SOCKET, _SCOPE_SIGNAL = 1, 2
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")


class _Ruleset(ctypes.Structure):
    _fields_ = [("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("access", ctypes.c_uint64), ("folder", ctypes.c_int32)]


def abi() -> int:
    """The version that the kernel offers; 0 when it has none, or it was not switched on at boot (``lsm=``)."""
    return max(0, libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)) if LINUX else 0


def restrict(*, readable: Iterable[str], writable: Iterable[str]) -> None:
    """Leave this process these folders (if they exist) and a few devices. Needs no_new_privs; may raise OSError."""
    version = abi()
    if version < OLDEST_ABI:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    handled = (1 << 15) - 1 | (_IOCTL_DEV if version >= _IOCTL_ABI else 0)
    scoped = _SCOPE_ABSTRACT_UNIX_SOCKET | _SCOPE_SIGNAL if version >= _SCOPE_SIGNALS_ABI else 0
    attributes = _Ruleset(handled, 0, scoped)
    # A kernel takes no more of the structure than it knows.
    size = 24 if scoped else 8
    ruleset = _call(_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), 0)
    for paths, access in (
        (readable, _READ),
        (_DEVICES, _READ | _WRITE_FILE | _IOCTL_DEV),
        (writable, handled & ~_MAKE_DEVICES),
    ):
        for path in paths:
            _allow(ruleset, path, access & handled)
    _call(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        target = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # not on this system: nothing is allowed there
    try:
        if not stat.S_ISDIR(os.fstat(target).st_mode):
            access &= _OF_FILES
        rule = _PathBeneath(access, target)
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(target)


def _call(number: int, *arguments: object) -> int:
    result = int(libc.syscall(number, *arguments))
    if result < 0:
        failed = ctypes.get_errno()
        raise OSError(failed, os.strerror(failed))
    return result
