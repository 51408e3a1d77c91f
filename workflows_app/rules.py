"""Whether a task runs that depends on others, decided from how these have ended so far. Pure.

Never counted: a count that is kept can be wrong. All that is asked is whether there is an edge of some kind.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from tasks_app.states import RunIf


class Verdict(Enum):
    """What is known of a task that depends on others."""

    WAITS = "waits"
    RUNS = "runs"
    NEVER = "never runs"


class Ends(NamedTuple):
    """Whether any of the tasks that another one depends on is open, or has ended so."""

    open: bool
    success: bool
    failed: bool
    cancelled: bool


def decide(run_if: str, ends: Ends) -> Verdict:
    """What follows from the ends there are. Once it runs, or never does, no later end changes that."""
    if run_if == RunIf.ALL_SUCCESS:
        return _when(not ends.open, never=ends.failed or ends.cancelled)
    if run_if == RunIf.NONE_FAILED:
        return _when(not ends.open, never=ends.failed)
    if run_if == RunIf.ANY_SUCCESS:
        return _when(ends.success, never=not (ends.success or ends.open))
    if run_if == RunIf.ANY_FAILED:
        return _when(ends.failed, never=not (ends.failed or ends.open))
    return _when(not ends.open, never=False)


def _when(runs: bool, *, never: bool) -> Verdict:
    if never:
        return Verdict.NEVER
    return Verdict.RUNS if runs else Verdict.WAITS
