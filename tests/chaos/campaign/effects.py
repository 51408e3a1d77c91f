"""The log that bodies write outside the system, read back as runs. Pure but for the reading of the file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Final
from uuid import UUID

#: Every SHELL process of the campaign has it in its environment, as its correlation id.
MARK: Final = "chaos-campaign"
# One fork for each line, for a clock with microseconds.
_SAY = 'say() { printf "%s %s %s %s %s\\n" "$1" "$TASK_ID" "$TASK_ATTEMPT" $$ "$(date +%s.%N)" >> FILE; }; '


@dataclass(slots=True)
class Run:
    """One execution of a body, from its first line to its last; ``ended`` when it came to its end."""

    task_id: UUID
    attempt: int
    pid: int
    began: float
    last: float
    ended: bool = False


class EffectLog:
    """Lines ``start|on|end task attempt pid time``. `read` returns what was added since it was last called."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0
        path.touch()

    def shell(self, slices: int, then: str = "") -> str:
        """A command that writes its lines with pauses of a tenth of a second, and does something else in the end."""
        say = _SAY.replace("FILE", str(self.path))
        return f"{say}say start; {'sleep 0.1; say on; ' * slices}say end; {then}"

    def read(self) -> list[str]:
        with self.path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        return whole.decode().splitlines()


def runs_of(lines: Iterable[str], frozen: Mapping[int, float]) -> dict[UUID, list[Run]]:
    """The runs of each task in the order of their beginning.

    ``frozen`` names processes that were stopped together with everything that watches them, and when: what they write
    after that is the effect of a host that came back, which nobody can prevent, and does not lengthen a run.
    """
    runs: dict[UUID, list[Run]] = defaultdict(list)
    for line in lines:
        words = line.split()
        if len(words) != 5:  # the clock of a SHELL task was killed before its shell
            continue
        what, task, attempt, pid, at = words
        task_id, number, process, time = UUID(task), int(attempt), int(pid), float(at)
        mine = runs[task_id]
        if what == "start":
            mine.append(Run(task_id, number, process, time, time))
            continue
        run = next(run for run in reversed(mine) if (run.attempt, run.pid) == (number, process))
        run.ended |= what == "end"
        if time <= frozen.get(process, float("inf")):
            run.last = max(run.last, time)
    for mine in runs.values():
        mine.sort(key=lambda run: run.began)
    return dict(runs)


def overlaps(runs: Iterable[Run]) -> list[tuple[Run, Run]]:
    """Pairs of which the second began before the first was over."""
    found: list[tuple[Run, Run]] = []
    longest: Run | None = None
    for run in sorted(runs, key=lambda run: run.began):
        if longest is not None and run.began < longest.last:
            found.append((longest, run))
        if longest is None or run.last > longest.last:
            longest = run
    return found


def most_at_once(runs: Iterable[Run]) -> int:
    """The most of them that were at work at one instant; one that begins when another is over is behind it."""
    changes = sorted((at, step) for run in runs for at, step in ((run.began, 1), (run.last, -1)))
    return max(accumulate(step for _, step in changes), default=0)
