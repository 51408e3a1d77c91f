"""The stage clock: a command that writes down when it passes the stages of a pick-up, and what reads that.

``python -m tests.bench.staged runscheduler`` is ``manage.py runscheduler`` with the functions at the stages wrapped.
The engine itself knows nothing of it, so that it costs nothing elsewhere. All clocks are one host's.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, wraps
from itertools import pairwise
from pathlib import Path
from typing import Any

FOLDER = "BENCH_STAGES"
#: The launcher that takes the place of ``manage.py``.
LAUNCHER = ("-m", "tests.bench.staged")

#: Each stage with its heading; the stages of one task follow one another without a gap.
STAGES = {
    "hint": "call → hint heard",
    "awake": "→ pass begins",
    "pass": "→ pass committed",
    "given": "→ worker hears",
    "look": "→ start begins",
    "start": "→ start committed",
    "body": "→ body",
}


def main() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_project.settings")
    django.setup()
    _wrap_stages()
    from scheduler_project.__main__ import main as command

    command()


def _wrap_stages() -> None:
    from flow_app import assignment
    from workers_app.processes import scheduler, starting
    from workers_app.processes.wakeups import Listener

    _wrap(Listener, "_concern", "heard", lambda _: "")
    _wrap(assignment, "assign_due_tasks", "pass", lambda report: str(report.assigned))
    _wrap(scheduler, "survey_due", "survey", lambda _: "")
    _wrap(starting, "start_assigned", "start", lambda attempts: ",".join(str(one.task_id) for one in attempts))


def _wrap(owner: Any, name: str, stage: str, said: Callable[[Any], str]) -> None:
    inner = getattr(owner, name)

    @wraps(inner)
    def marked(*arguments: Any, **options: Any) -> Any:
        began = time.time()
        found = inner(*arguments, **options)
        os.write(_file(os.getpid()), f"{stage} {began:.6f} {time.time():.6f} {said(found)}\n".encode())
        return found

    setattr(owner, name, marked)


@cache
def _file(pid: int) -> int:
    """The descriptor of this process's file: one write a mark, because the clock must not be what takes time."""
    return os.open(Path(os.environ[FOLDER]) / str(pid), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


@dataclass(frozen=True, slots=True)
class Span:
    """Something that a process did, and what it said of it."""

    began: float
    ended: float
    said: str


@dataclass(slots=True)
class Marks:
    """What one process wrote down, in order of time."""

    heard: list[Span] = field(default_factory=list)
    surveys: list[Span] = field(default_factory=list)
    passes: list[Span] = field(default_factory=list)
    starts: list[Span] = field(default_factory=list)


def read(folder: Path) -> tuple[Marks, Marks]:
    """The marks of the scheduler and of the worker; there is one of each."""
    scheduler, worker = Marks(), Marks()
    for path in folder.iterdir():
        marks = Marks()
        lists = {"heard": marks.heard, "survey": marks.surveys, "pass": marks.passes, "start": marks.starts}
        for line in path.read_text().splitlines():
            stage, began, ended, said = line.split(" ")
            lists[stage].append(Span(float(began), float(ended), said))
        if marks.starts:
            worker = marks
        elif marks.passes:
            scheduler = marks
    return scheduler, worker


def split(
    calls: Mapping[str, float], bodies: Mapping[str, float], scheduler: Marks, worker: Marks
) -> list[list[float]]:
    """Of each task whose way can be followed the seconds of `STAGES`, in their order."""
    given = [span for span in scheduler.passes if span.said != "0"]
    found = []
    for start in worker.starts:
        ids = [task_id for task_id in start.said.split(",") if task_id in calls]
        passed = _last_before(given, start.ended, lambda span: span.ended)
        if not ids or passed is None:
            continue
        call, body = calls[ids[0]], bodies[ids[0]]
        heard = _last_before(scheduler.heard, passed.began, lambda span: span.began)
        heard_it = _last_before(worker.heard, start.began, lambda span: span.began)
        times = [call, heard.began if heard and heard.began > call else passed.began, passed.began, passed.ended]
        times += [
            heard_it.began if heard_it and heard_it.began > passed.began else start.began,
            start.began,
            start.ended,
            body,
        ]
        found.append([later - earlier for earlier, later in pairwise(times)])
    return found


def count_between(spans: list[Span], first: float, last: float) -> int:
    """How many began in between."""
    began = [span.began for span in spans]
    return bisect_right(began, last) - bisect_left(began, first)


def _last_before(spans: list[Span], instant: float, key: Callable[[Span], float]) -> Span | None:
    at = bisect_right(spans, instant, key=key)
    return spans[at - 1] if at else None


if __name__ == "__main__":
    main()
