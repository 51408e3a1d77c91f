"""What became of tasks, each given as when it was due to be created and when it had ended. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

Lives = Sequence[tuple[float, float]]


def depths(lives: Lives) -> Iterator[tuple[float, int]]:
    """Each moment at which the number of unfinished tasks changed, and the number from then on."""
    depth = 0
    changes = [(due, 1) for due, _ in lives] + [(ended, -1) for _, ended in lives]
    for at, change in sorted(changes):
        depth += change
        yield at, depth


def highest(lives: Lives, since: float, until: float) -> int:
    """The greatest depth between two moments."""
    top = before = 0
    for at, depth in depths(lives):
        if at > until:
            break
        before = depth if at < since else before
        top = max(top, depth) if at >= since else top
    return max(top, before)


def recovered(lives: Lives, since: float, normal: int) -> float:
    """Seconds from ``since`` until the depth was no more than ``normal`` for the first time."""
    last = 0
    for at, depth in depths(lives):
        if at > since:
            if last <= normal:
                return 0.0
            if depth <= normal:
                return at - since
        else:
            last = depth
    return 0.0


@dataclass(frozen=True, slots=True)
class Counters:
    """What the server has counted so far; a crash sets its statistics back to zero."""

    wal: float
    commits: float
    changed: float
    dead: float


class Totals:
    """Counters added up over crashes of the server: what it had counted since the last look is lost with it."""

    def __init__(self, first: Counters) -> None:
        self._last = first
        self.wal = self.commits = self.changed = 0.0

    def add(self, now: Counters) -> None:
        self.wal += now.wal - self._last.wal
        self.commits += grown(self._last.commits, now.commits)
        self.changed += grown(self._last.changed, now.changed)
        self._last = now

    def per_task(self, tasks: int) -> Mapping[str, float]:
        return {
            "wal": self.wal / max(tasks, 1),
            "commits": self.commits / max(tasks, 1),
            "changed": self.changed / max(tasks, 1),
            "dead": self._last.dead,
        }


def grown(before: float, now: float) -> float:
    return now - before if now >= before else now


def within(lives: Iterable[tuple[float, float]], since: float, until: float) -> list[float]:
    """Seconds from due to ended, of the tasks that were due between two moments."""
    return [ended - due for due, ended in lives if since <= due < until]
