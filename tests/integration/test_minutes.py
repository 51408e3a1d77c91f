"""The roll-up of minutes: what a scheduler adds, what it leaves to others, what it sees, what it forgets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flow_app.figures import Figures
from flow_app.outlook import Outlook
from monitoring_app import minutes
from monitoring_app.models import MetricMark, MetricMinute
from tasks_app.sessions import Session
from tests.factories import make_task
from tests.support.engine import Engine
from tests.support.minutes import SPANS, end, forget, rolled_up, scan, settle
from workers_app.processes import chores

SUCCESS = ("SUCCESS", "SUCCESS")


@pytest.fixture(autouse=True)
def like_new(committed_db: None) -> Iterator[None]:
    forget()
    yield
    forget()


def end_one(
    session: Session, queue: str = "default", *, at: datetime | None = None, how: tuple[str, str] = SUCCESS
) -> None:
    end(session, make_task(queue=queue).pk, 1, at=at or datetime.now(UTC), ran=1, waited=0, how=how)


def roll_up(session: Session) -> None:
    for _ in range(3):
        settle()
        minutes.roll_up(session)


def named(span: int, **columns: Any) -> list[str]:
    return sorted(MetricMinute.objects.filter(span=span, **columns).values_list("name", flat=True))


class TestRollUpMinutes:
    def test_counts_what_a_transaction_commits_behind_others(
        self, session: Session, open_session: Callable[[], Any]
    ) -> None:
        late = open_session()
        late.execute("BEGIN")
        end_one(late)
        end_one(session)  # has a higher id, and is seen
        for _ in range(3):
            minutes.roll_up(session)
        late.execute("COMMIT")
        roll_up(session)
        assert rolled_up() == scan()

    def test_leaves_it_to_whoever_is_at_it(self, session: Session, open_session: Callable[[], Any]) -> None:
        end_one(session)
        minutes.roll_up_minutes(session)
        settle()
        other = open_session()
        other.execute("BEGIN")
        assert minutes.roll_up_minutes(other) == 1
        assert minutes.roll_up_minutes(session) == 0  # does not wait
        other.execute("COMMIT")
        roll_up(session)
        assert rolled_up() == scan()

    def test_works_a_backlog_off_call_by_call(self, session: Session) -> None:
        for _ in range(5):
            end_one(session)
        minutes.roll_up_minutes(session)
        settle()
        assert [minutes.roll_up_minutes(session, most=2) for _ in range(4)] == [2, 2, 1, 0]
        assert rolled_up() == scan()

    def test_counts_a_backlog_no_further_than_is_settled(
        self, session: Session, open_session: Callable[[], Any]
    ) -> None:
        for _ in range(2):
            end_one(session)
        minutes.roll_up_minutes(session)
        settle()
        late = open_session()
        late.execute("BEGIN")
        end_one(late)
        end_one(session)
        assert [minutes.roll_up_minutes(session, most=1) for _ in range(4)] == [1, 1, 0, 0]
        late.execute("COMMIT")
        roll_up(session)
        assert rolled_up() == scan()

    def test_writes_nothing_while_nothing_ends(self, session: Session) -> None:
        end_one(session)
        roll_up(session)
        [before] = session.fetch("SELECT xmin FROM metric_marks WHERE name = 'minutes'")
        minutes.roll_up(session)
        assert session.fetch("SELECT xmin FROM metric_marks WHERE name = 'minutes'") == [before]

    def test_names_the_busiest_queues_of_an_hour_and_counts_the_rest_together(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(minutes, "MOST_NAMED", 2)
        hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
        for queue in ("a", "b", "b", "c", "c", "_other"):
            end_one(session, queue, at=hour)
        roll_up(session)
        for queue in ("d", "d", "d", "c"):
            end_one(session, queue, at=hour + timedelta(minutes=30))
        roll_up(session)
        assert named(60, kind="queue") == ["_other", "b", "c"]
        assert sum(MetricMinute.objects.filter(span=1, kind="queue").values_list("success", flat=True)) == 10
        [rest] = MetricMinute.objects.filter(span=60, kind="queue", name="_other")
        assert rest.success == 5

    def test_forgets_what_is_older_than_what_is_kept(self, session: Session) -> None:
        end_one(session, at=datetime.now(UTC) - minutes.KEPT - timedelta(hours=1))
        roll_up(session)
        assert MetricMark.objects.get(name="minutes").counted_id > 0
        assert rolled_up() == {}


class TestSampleMinute:
    def test_sees_what_waits_and_what_runs(self, session: Session) -> None:
        engine = Engine(session)
        worker = engine.worker(slots=3)
        engine.create(queue="busy")
        engine.assign()
        engine.start(worker)
        engine.create_many(2, queue="full")
        minutes.sample(session)
        for span in SPANS:
            rows = MetricMinute.objects.filter(span=span).order_by("kind", "name")
            seen = [(row.kind, row.name, row.waiting, row.slots_used, row.slots) for row in rows]
            assert seen == [
                ("queue", "busy", 0, None, None),
                ("queue", "full", 2, None, None),
                ("system", "", None, 1, 3),
            ]
        assert MetricMinute.objects.get(span=60, name="full").oldest_due > 0

    def test_looks_once_a_minute(self, session: Session) -> None:
        now = datetime.now(UTC).replace(second=0, microsecond=0)
        for minute in (now, now + timedelta(minutes=1)):
            MetricMinute.objects.create(span=1, at=minute, kind="system", name="")
        make_task(queue="full")
        minutes.sample(session)
        assert named(60) == []

    def test_keeps_the_highest_of_what_was_seen(self, session: Session) -> None:
        for waiting, oldest_due in ((5, 9.0), (3, 20.0), (1, None)):
            minutes.sample_minute(session, {"full": Figures(waiting=waiting, oldest_due_seconds=oldest_due)})
        row = MetricMinute.objects.filter(span=60, name="full").latest("at")
        assert (row.waiting, row.oldest_due) == (5, 20.0)

    def test_names_no_more_queues_than_the_roll_up(self, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(minutes, "MOST_NAMED", 2)
        minutes.sample_minute(session, {name: Figures(waiting=n) for n, name in enumerate("abcd", start=1)})
        end_one(session, "a")
        roll_up(session)
        assert set(named(60, kind="queue")) == {"_other", "c", "d"}

    def test_waits_for_nobody(self, session: Session, open_session: Callable[[], Any]) -> None:
        other = open_session()
        other.execute("BEGIN")
        other.execute("SELECT FROM metric_marks FOR UPDATE")
        minutes.sample(session)
        assert not MetricMinute.objects.exists()


class TestDeleteOldMinutes:
    def test_deletes_every_length_past_its_time(self, session: Session) -> None:
        for age in (timedelta(0), minutes.KEPT + timedelta(minutes=1), minutes.KEPT + timedelta(hours=2)):
            for span in (1, 10, 60):
                MetricMinute.objects.create(span=span, at=datetime.now(UTC) - age, kind="system", name="")
        assert minutes.delete_old_minutes(session, limit=2) == 2
        minutes.delete_old(session)
        assert MetricMinute.objects.count() == 3


def test_schedulers_are_given_the_chores(session: Session) -> None:
    given = {chore.event: chore.step for chore in chores.slow_chores(Outlook())}
    assert given["minutes_kept"](session) == given["old_minutes_deleted"](session) == 0
