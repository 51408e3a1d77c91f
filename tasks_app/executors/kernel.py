"""What the kernel is asked for by the processes around a SHELL task. Standard library only, for `launcher`.

Linux gives all of it. Elsewhere `prctl` does nothing, and callers do without.
"""

from __future__ import annotations

import ctypes
import sys

LINUX = sys.platform == "linux"
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 36, 38
_CAPABILITY_VERSION_3 = 0x20080522
#: What lets root read the memory of others: CAP_SYS_MODULE, SYS_RAWIO, SYS_PTRACE, SYS_ADMIN, PERFMON, BPF. A default
#: container has none of them. SYS_ADMIN and PERFMON too: newer kernels (6.18) let them read /proc/<pid>/environ.
PRYING_CAPABILITIES = (16, 17, 19, 21, 38, 39)

libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int) -> None:
    if LINUX:
        libc.prctl(option, *(ctypes.c_ulong(argument) for argument in (value, 0, 0, 0)))


def forbid_prying() -> None:
    """No program exec'd below may trace or read the worker, root's included. Refused when unprivileged: no harm then.

    Takes capabilities from the bounding and the inheritable set, capabilities(7). Ours are kept, so to the kernel the
    worker, the launcher and the shepherds are more privileged than the task (`cap_ptrace_access_check`).
    """
    if not LINUX:
        return
    header, sets = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    known = libc.capget(header, sets) == 0
    for capability in PRYING_CAPABILITIES:
        prctl(PR_CAPBSET_DROP, capability)
        # [effective, permitted, inheritable] of capabilities 0 to 31, then of 32 to 63
        sets[2 + 3 * (capability // 32)] &= ~(1 << capability % 32)
    if known:
        libc.capset(header, sets)
