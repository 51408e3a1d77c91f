"""What must be true when everything has settled: the accepted tasks, their history, and the log outside agree.

Pure: rows and runs in, findings out. What must hold at every instant is ``workers_app/invariants.py``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from tests.chaos.campaign.effects import Run, most_at_once, overlaps
from tests.chaos.campaign.findings import Findings
from tests.chaos.campaign.load import Accepted, Kind

#: Ends of an attempt after which its body may run again though it did not fail.
TAKEN_AWAY = frozenset({"LOST", "RELEASED"})
MAX_CRASHES = 3


@dataclass(frozen=True, slots=True)
class TaskRow:
    task_id: UUID
    status: str
    end_reason: str | None
    attempt: int
    retry_count: int
    crash_count: int


@dataclass(frozen=True, slots=True)
class AttemptRow:
    task_id: UUID
    attempt: int
    worker_id: UUID
    status: str
    late: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """Everything there is to know about the tasks of one fault. ``struck``: incarnations that faults were aimed at."""

    accepted: Mapping[UUID, Accepted]
    tasks: Mapping[UUID, TaskRow]
    attempts: Sequence[AttemptRow]
    runs: Mapping[UUID, Sequence[Run]]
    struck: frozenset[UUID]


def check(settled: Settled) -> Findings:
    """All of it. The counts say how much was looked at, and which effects were repeated."""
    found = Findings()
    history: dict[UUID, dict[int, AttemptRow]] = defaultdict(dict)
    for row in settled.attempts:
        history[row.task_id][row.attempt] = row
    found.counts["accepted"] = len(settled.accepted)
    for task_id, accepted in settled.accepted.items():
        _check_task(found, task_id, accepted, settled.tasks.get(task_id), history[task_id])
        _check_runs(found, task_id, accepted, settled.runs.get(task_id, ()), history[task_id])
    for row in settled.attempts:
        if row.status in TAKEN_AWAY:
            found.counts[row.status] += 1
            found.counts["late"] += row.late
            found.expect(row.worker_id in settled.struck, f"a live worker lost a task: {_name(row)} is {row.status}")
    _check_keys(found, settled)
    _check_limits(found, settled)
    return found


def _check_task(
    found: Findings, task_id: UUID, accepted: Accepted, task: TaskRow | None, history: Mapping[int, AttemptRow]
) -> None:
    if task is None or task.status not in ("SUCCESS", "FAILED", "CANCELLED"):
        found.counts["lost"] += 1
        found.violations.append(f"lost: {accepted.kind.name} task {task_id} is {task and task.status}")
        return
    statuses = Counter(row.status for row in history.values())
    if task.end_reason == "QUARANTINED":
        found.counts["quarantined" if "FAILED" in accepted.kind.ends else "bystanders quarantined"] += 1
        found.expect(statuses["LOST"] >= MAX_CRASHES, f"quarantined after {statuses['LOST']} crashes: {task_id}")
    elif task.status not in accepted.kind.ends:
        found.violations.append(f"{accepted.kind.name} task {task_id} ended {task.status}, not {accepted.kind.ends}")
    elif task.status == "SUCCESS":
        wanted = accepted.kind.failures
        # A failing attempt that was lost after its end has used no retry, and the next one may be beyond the failures.
        spent = range(wanted - statuses["LOST"] - statuses["RELEASED"], wanted + 1)
        found.expect(task.retry_count in spent, f"{task_id} used {task.retry_count} retries, not {wanted}")
    found.expect(task.crash_count == statuses["LOST"], f"{task_id}: {task.crash_count} crashes, {dict(statuses)}")
    found.expect(sorted(history) == list(range(1, task.attempt + 1)), f"{task_id}: attempts {sorted(history)}")


def _check_runs(
    found: Findings, task_id: UUID, accepted: Accepted, runs: Sequence[Run], history: Mapping[int, AttemptRow]
) -> None:
    found.counts["runs"] += len(runs)
    for attempt, times in Counter(run.attempt for run in runs).items():
        found.expect(times == 1, f"double start: attempt {attempt} of {task_id} ran {times} times")
    for first, second in overlaps(runs):
        found.counts["overlaps"] += 1
        found.violations.append(
            f"overlap: {task_id} attempt {second.attempt} (pid {second.pid}) began {first.last - second.began:.3f} s "
            f"before attempt {first.attempt} (pid {first.pid}) was over"
        )
    last = max((run.attempt for run in runs), default=0)
    for run in runs:
        row = history.get(run.attempt)
        found.expect(row, f"attempt {run.attempt} of {task_id} ran and has no history")
        if row is not None and run.attempt < last and row.status != "FAILED":
            found.counts["repeated"] += 1
            found.counts["repeated after its end"] += run.ended
            found.expect(row.status in TAKEN_AWAY, f"repeated without reason: {_name(row)} was {row.status}")
    ended = {run.attempt for run in runs if run.ended}
    for row in history.values() if accepted.kind.writes else ():
        found.expect(row.status != "SUCCESS" or row.attempt in ended, f"recorded, but not done: {_name(row)}")


def _check_keys(found: Findings, settled: Settled) -> None:
    by_key: dict[tuple[Kind, str], list[Run]] = defaultdict(list)
    for task_id, runs in settled.runs.items():
        accepted = settled.accepted.get(task_id)
        if accepted is not None and accepted.key is not None:
            by_key[accepted.kind, accepted.key] += runs
    for (kind, key), runs in by_key.items():
        if kind.of_key > 1:
            most = most_at_once(runs)
            found.expect(most <= kind.of_key, f"{most} at once under key {key}, whose limit is {kind.of_key}")
            continue
        for first, second in overlaps(runs):
            found.counts["overlaps"] += 1
            found.violations.append(f"two at once under key {key}: {first.task_id} and {second.task_id}")


def _check_limits(found: Findings, settled: Settled) -> None:
    by_kind: dict[Kind, list[Run]] = defaultdict(list)
    for task_id, accepted in settled.accepted.items():
        if accepted.kind.at_once is not None:
            by_kind[accepted.kind] += settled.runs.get(task_id, ())
    for kind, runs in by_kind.items():
        most = most_at_once(runs)
        found.counts[f"{kind.name}, most at work"] = max(most, found.counts[f"{kind.name}, most at work"])
        found.expect(most <= (kind.at_once or 0), f"{most} {kind.name} at work at once, whose limit is {kind.at_once}")


def by_incarnation(attempts: Iterable[AttemptRow], status: str) -> Counter[UUID]:
    return Counter(row.worker_id for row in attempts if row.status == status)


def _name(row: AttemptRow) -> str:
    return f"attempt {row.attempt} of {row.task_id}"
