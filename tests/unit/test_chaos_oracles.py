"""The campaign's oracles see what they are for: each kind of harm is done to a good story once."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from tests.chaos.campaign.effects import Run, overlaps, runs_of
from tests.chaos.campaign.findings import Findings
from tests.chaos.campaign.load import FAILING, INSTANT, KEYED, PLAIN, Accepted, Kind
from tests.chaos.campaign.oracles import AttemptRow, Settled, TaskRow, check

TASK, OTHER = uuid4(), uuid4()
DEAD, ALIVE = uuid4(), uuid4()


def log(*lines: str, frozen: dict[int, float] | None = None) -> dict[UUID, list[Run]]:
    """Lines ``what attempt pid time`` of one task, or with a task in front."""
    whole = []
    for line in lines:
        words = line.split()
        task = {"other": OTHER}.get(words[0], TASK)
        what, attempt, pid, at = words[-4:]
        whole.append(f"{what} {task} {attempt} {pid} {at}")
    return runs_of(whole, frozen or {})


def story(*lines: str, kind: Kind = INSTANT, history: str = "SUCCESS", task: TaskRow | None = None) -> Settled:
    """A task whose attempts ended as ``history`` says, and what it wrote down. Lost ones were on the dead worker."""
    statuses = history.split()
    attempts = [
        AttemptRow(TASK, number, ALIVE if status in ("SUCCESS", "FAILED") else DEAD, status)
        for number, status in enumerate(statuses, 1)
    ]
    row = TaskRow(
        TASK, next(reversed(statuses), "PENDING"), None, len(statuses), statuses.count("FAILED"), statuses.count("LOST")
    )
    return Settled({TASK: Accepted(kind, None)}, {TASK: task or row}, attempts, log(*lines), frozenset({DEAD}))


LOST_AND_REPEATED = ("start 1 10 1.0", "on 1 10 1.2", "start 2 11 1.3", "end 2 11 1.4")


class TestGoodStories:
    def test_a_task_that_ran_once(self) -> None:
        found = check(story("start 1 10 1.0", "end 1 10 1.1"))
        assert (found.violations, found.counts["runs"], found.counts["repeated"]) == ([], 1, 0)

    def test_an_effect_repeated_after_a_death_is_counted(self) -> None:
        found = check(story(*LOST_AND_REPEATED, history="LOST SUCCESS"))
        assert (found.violations, found.counts["repeated"], found.counts["repeated after its end"]) == ([], 1, 0)

    def test_an_effect_may_have_ended_before_the_death(self) -> None:
        found = check(story("start 1 10 1.0", "end 1 10 1.2", *LOST_AND_REPEATED[2:], history="LOST SUCCESS"))
        assert (found.violations, found.counts["repeated after its end"]) == ([], 1)

    def test_failures_by_design(self) -> None:
        lines = [f"{what} {attempt} 10 {attempt}.0" for attempt in (1, 2, 3) for what in ("start", "end")]
        found = check(story(*lines, kind=FAILING, history="FAILED FAILED SUCCESS"))
        assert (found.violations, found.counts["repeated"]) == ([], 0)

    def test_a_task_that_writes_nothing(self) -> None:
        assert check(story(kind=PLAIN)).violations == []


class TestHarm:
    @pytest.mark.parametrize("status", ["PENDING", "SCHEDULED", "RUNNING"])
    def test_a_task_that_never_ended(self, status: str) -> None:
        assert_seen(story(history="", task=TaskRow(TASK, status, None, 0, 0, 0), kind=PLAIN), "lost:")

    def test_a_task_that_is_gone(self) -> None:
        assert_seen(replace(story(kind=PLAIN), tasks={}), "lost:")

    def test_a_task_that_failed_without_design(self) -> None:
        assert_seen(story("start 1 10 1.0", "end 1 10 1.1", history="FAILED"), "ended FAILED")

    def test_runs_that_overlap(self) -> None:
        lines = ("start 1 10 1.0", "on 1 10 1.35", "start 2 11 1.3", "end 2 11 1.4")
        assert_seen(story(*lines, history="LOST SUCCESS"), "overlap:")

    def test_an_attempt_that_ran_twice(self) -> None:
        assert_seen(story("start 1 10 1.0", "end 1 10 1.1", "start 1 11 1.2", "end 1 11 1.3"), "double start:")

    def test_an_effect_repeated_after_its_success_was_recorded(self) -> None:
        lines = ("start 1 10 1.0", "end 1 10 1.1", "start 2 10 1.2", "end 2 10 1.3")
        assert_seen(story(*lines, history="SUCCESS SUCCESS"), "repeated without reason:")

    def test_a_run_without_history(self) -> None:
        assert_seen(story("start 1 10 1.0", "end 1 10 1.1", "start 2 10 1.2"), "ran and has no history")

    def test_a_success_that_was_never_done(self) -> None:
        assert_seen(story("start 1 10 1.0"), "recorded, but not done:")
        assert_seen(story(), "recorded, but not done:")

    def test_a_live_worker_that_lost_a_task(self) -> None:
        assert_seen(
            replace(story(*LOST_AND_REPEATED, history="LOST SUCCESS"), struck=frozenset()), "a live worker lost a task:"
        )

    def test_a_retry_used_by_a_death(self) -> None:
        row = TaskRow(TASK, "SUCCESS", None, 2, 1, 1)
        assert_seen(story(*LOST_AND_REPEATED, history="LOST SUCCESS", task=row), "retries")

    def test_a_crash_counted_for_a_release(self) -> None:
        row = TaskRow(TASK, "SUCCESS", None, 2, 0, 1)
        assert_seen(story(*LOST_AND_REPEATED, history="RELEASED SUCCESS", task=row), "1 crashes")

    def test_a_gap_in_the_attempts(self) -> None:
        row = TaskRow(TASK, "SUCCESS", None, 2, 0, 0)
        assert_seen(story("start 1 10 1.0", "end 1 10 1.1", task=row), "attempts [1]")

    def test_a_quarantine_too_early(self) -> None:
        row = TaskRow(TASK, "FAILED", "QUARANTINED", 2, 0, 2)
        assert_seen(story("start 1 10 1.0", "start 2 10 2.0", history="LOST LOST", task=row), "quarantined after 2")

    def test_two_at_once_under_one_key(self) -> None:
        key = Accepted(KEYED, "k")
        good = story("start 1 10 1.0", "end 1 10 1.2", kind=KEYED)
        runs = log("start 1 10 1.0", "end 1 10 1.2", "other start 1 11 1.1", "other end 1 11 1.3")
        tasks = {**good.tasks, OTHER: replace(good.tasks[TASK], task_id=OTHER)}
        attempts = [*good.attempts, replace(good.attempts[0], task_id=OTHER)]
        both = replace(good, accepted={TASK: key, OTHER: key}, tasks=tasks, attempts=attempts, runs=runs)
        assert_seen(both, "two at once under key k")

    @pytest.mark.parametrize(
        ("kind", "seen"),
        [
            (Kind("k", of_key=2), "3 at once under key k, whose limit is 2"),
            (Kind("k", of_key=3), None),
            (Kind("k", of_key=3, at_once=2), "3 k at work at once, whose limit is 2"),
        ],
    )
    def test_more_at_once_than_a_limit(self, kind: Kind, seen: str | None) -> None:
        names, runs, tasks, attempts = [uuid4() for _ in range(4)], {}, {}, []
        for number, name in enumerate(names):
            began = 1.0 if number < 3 else 2.0  # the last begins when the others are over
            runs[name] = [Run(name, 1, 10 + number, began, began + 1.0, ended=True)]
            tasks[name] = TaskRow(name, "SUCCESS", None, 1, 0, 0)
            attempts.append(AttemptRow(name, 1, ALIVE, "SUCCESS"))
        accepted = dict.fromkeys(names, Accepted(kind, "k"))
        settled = Settled(accepted, tasks, attempts, runs, frozenset({DEAD}))
        if seen is None:
            assert check(settled).violations == []
        else:
            assert_seen(settled, seen)


class TestRuns:
    def test_a_run_of_a_frozen_host_ends_with_the_freeze(self) -> None:
        lines = ("start 1 10 1.0", "on 1 10 1.1", "on 1 10 9.0", "end 1 10 9.1", "start 2 11 5.0", "end 2 11 5.1")
        assert overlaps(log(*lines)[TASK])
        assert not overlaps(log(*lines, frozen={10: 1.15})[TASK])

    def test_a_line_without_a_time_is_passed_over(self) -> None:
        assert runs_of([f"start {TASK} 1 10 1.0", f"on {TASK} 1 10"], {})[TASK][0].last == 1.0

    def test_a_short_run_within_a_long_one_does_not_hide_the_next(self) -> None:
        runs = log("start 1 10 1.0", "end 1 10 9.0", "start 2 11 2.0", "end 2 11 2.1", "start 3 12 3.0")[TASK]
        assert len(overlaps(runs)) == 2


def assert_seen(settled: Settled, text: str) -> None:
    found: Findings = check(settled)
    assert any(text in violation for violation in found.violations), found.violations
