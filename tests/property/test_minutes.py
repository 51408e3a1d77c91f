"""Random ends, some committed late, beside two schedulers that start anew now and then: the minutes equal a scan."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring_app import minutes
from tasks_app.models import Task
from tasks_app.sessions import Session
from tests.factories import make_task
from tests.support.committed import empty_tables
from tests.support.minutes import ENDS, end, forget, rolled_up, scan, settle


class Story:
    """Writers, one of which may have its transaction open, and schedulers, in an order of chance."""

    def __init__(self, sessions: list[Session], chance: random.Random) -> None:
        self.writer, self.late, *self.schedulers = sessions
        self.chance = chance
        kinds = [("DUMMY", "a"), ("DUMMY", "b"), ("HTTP", "a"), ("SHELL", "_other")]
        self.tasks: list[Task] = [make_task(type=type_, queue=queue) for type_, queue in kinds]
        self.attempts = count(1)
        self.is_open = False
        self.now = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)

    def end_some(self) -> None:
        for _ in range(self.chance.choice([1, 1, 5])):
            self.end_in(self.writer)

    def end_late(self) -> None:
        if not self.is_open:
            self.late.execute("BEGIN")
            self.is_open = True
        self.end_in(self.late)

    def commit_late(self) -> None:
        if self.is_open:
            self.late.execute(self.chance.choice(["COMMIT", "COMMIT", "ROLLBACK"]))
            self.is_open = False

    def step_the_clock(self) -> None:
        self.now += timedelta(seconds=self.chance.choice([-4000, -90, 7, 70, 3700, 90_000]))

    def roll_up(self) -> None:
        """By either scheduler, a few rows at a time; one that is killed has its transaction rolled back."""
        scheduler = self.chance.choice(self.schedulers)
        if self.chance.random() < 0.2:
            scheduler.execute("BEGIN")
            minutes.roll_up_minutes(scheduler, most=3)
            scheduler.execute("ROLLBACK")
        else:
            minutes.roll_up_minutes(scheduler, most=self.chance.choice([1, 3, 100]))

    def end_in(self, session: Session) -> None:
        # One task for each writer, whose rows the other does not lock.
        task = self.tasks[0] if session is self.late else self.chance.choice(self.tasks[1:])
        ran, waited = self.chance.choice([0, 0.0004, 0.7, 90]), self.chance.choice([-3, 0, 0.02, 7000])
        at = self.now + timedelta(seconds=self.chance.randrange(90), milliseconds=self.chance.randrange(1000))
        end(session, task.pk, next(self.attempts), at=at, ran=ran, waited=waited, how=self.chance.choice(ENDS))

    def settle(self) -> None:
        self.commit_late()
        for _ in range(3):
            settle()
            minutes.roll_up(self.schedulers[0])


def test_minutes_equal_a_scan(open_session: Callable[[], Any]) -> None:
    sessions = [open_session() for _ in range(4)]

    @given(st.integers(0, 2**32))
    @settings(max_examples=8, database=None)
    def tell(seed: int) -> None:
        empty_tables()
        forget()
        chance = random.Random(seed)
        story = Story(sessions, chance)
        acts = [story.end_some, story.end_late, story.commit_late, story.step_the_clock, story.roll_up, story.roll_up]
        for _ in range(40):
            chance.choice(acts)()
        story.settle()
        assert rolled_up() == scan()

    tell()
    forget()
