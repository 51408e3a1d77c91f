"""The firing pass: every slot decided once, whoever and how many make passes, wherever one of them dies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from access_app.database_faults import DatabaseAway
from access_app.sql import statement
from schedules_app import batches, firing, making
from schedules_app.firing import fire, fire_due
from schedules_app.models import Schedule, ScheduleFire
from schedules_app.stored import StoredSchedule
from tasks_app import cancelling
from tasks_app.models import Task
from tasks_app.sessions import Session
from tests.factories import make_batch
from tests.support.engine import SUCCEEDED, Engine
from tests.support.logs import capture_logs
from tests.support.races import held_after_its_look, looks_held, rival_on, transaction
from tests.support.schedules import MINUTE, ledger, make_schedule, states, tasks_of, whole_now
from tests.support.waiting import eventually

OpenSession = Callable[[], Session]


def locked_rows(session: Session) -> list[StoredSchedule]:
    return [StoredSchedule._make(row) for row in session.rows("due_schedules", {"limit": 500})]


def everything_once(session: Session) -> bool:
    """No slot has two rows, or two tasks; every task of a schedule has its row."""
    queries = (
        "SELECT 1 FROM schedule_fires GROUP BY schedule_id, slot HAVING count(*) > 1",
        "SELECT 1 FROM tasks WHERE schedule_id IS NOT NULL GROUP BY schedule_id, scheduled_for HAVING count(*) > 1",
        "SELECT 1 FROM tasks t FULL JOIN schedule_fires f ON f.task_id = t.id AND f.slot = t.scheduled_for"
        " AND f.schedule_id = t.schedule_id WHERE (t.schedule_id IS NULL) <> (f.task_id IS NULL)",
    )
    return not any(session.fetch(query) for query in queries)


class TestFireDue:
    def test_writes_ledger_task_and_next_time_together(self, session: Session) -> None:
        schedule = make_schedule(task={"type": "DUMMY", "payload": {"sleepDurationMs": 5}, "priority": 7, "queue": "q"})
        slot = schedule.next_slot
        report = fire_due(session)
        assert (report.schedules, report.tasks, report.states) == (1, 1, Counter(FIRED=1))
        assert 0 <= report.lateness < 5
        [task] = tasks_of(schedule)
        [row] = ledger(schedule)
        assert (row.slot, row.state, row.task_id, row.due_at, row.note) == (slot, "FIRED", task.pk, slot, "")
        assert (task.scheduled_for, task.created_by) == (slot, f"schedule:{schedule.name}")
        assert (task.payload, task.priority, task.queue) == ({"sleepDurationMs": 5}, 7, "q")
        assert (task.status, task.run_at, task.correlation_id) == ("PENDING", row.decided_at, task.pk.hex)
        now = Schedule.objects.get(pk=schedule.pk)
        assert (now.last_slot, now.next_slot, now.next_fire_at) == (slot, slot + MINUTE, slot + MINUTE)
        assert (now.last_fire_at, now.version) == (row.decided_at, schedule.version)

    def test_leaves_alone_what_is_not_due_or_has_no_next_time(self, session: Session) -> None:
        coming = make_schedule(due=0)
        ended = make_schedule(next_slot=None, next_fire_at=None)
        assert fire_due(session) == firing.FireReport()
        assert ledger(coming) == ledger(ended) == []

    def test_ends_a_schedule_behind_its_last_slot(self, session: Session) -> None:
        schedule = make_schedule(end_at=whole_now() + MINUTE / 2)
        fire_due(session)
        now = Schedule.objects.get(pk=schedule.pk)
        assert (states(schedule), now.next_slot, now.next_fire_at) == (["FIRED"], None, None)

    def test_takes_the_longest_overdue_first_and_says_that_there_are_more(self, session: Session) -> None:
        schedules = [make_schedule(late=timedelta(seconds=s)) for s in (1, 40, 20)]
        assert fire_due(session, limit=2).more
        assert [len(ledger(schedule)) for schedule in schedules] == [0, 1, 1]
        assert not fire_due(session, limit=2).more

    def test_writes_what_it_has_when_deciding_takes_long(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The server would end a transaction that stands still."""
        monkeypatch.setattr(firing, "LONGEST_LOOK", -1.0)
        for _ in range(3):
            make_schedule()
        reports = [fire_due(session) for _ in range(4)]
        assert [(report.schedules, report.more) for report in reports] == [(1, True), (1, True), (1, False), (0, False)]

    def test_makes_no_second_task_of_a_slot_that_has_a_row(self, session: Session) -> None:
        """Whatever else happened: the ledger decides."""
        schedule = make_schedule(overlap="allow")
        fire_due(session)
        Schedule.objects.filter(pk=schedule.pk).update(
            next_slot=schedule.next_slot, next_fire_at=schedule.next_slot, last_slot=schedule.last_slot
        )
        fire_due(session)
        assert len(tasks_of(schedule)) == 1
        assert everything_once(session)

    def test_uses_the_template_of_the_moment(self, session: Session) -> None:
        schedule = make_schedule()
        Schedule.objects.filter(pk=schedule.pk).update(task={"type": "DUMMY", "payload": {}, "correlationId": "mine"})
        fire_due(session)
        assert tasks_of(schedule)[0].correlation_id == "mine"


class TestWhatIsWrongWithOne:
    @pytest.mark.parametrize(
        ("columns", "note"),
        [
            ({"task": {"type": "GONE", "payload": {}}}, "its task is refused: type: must be one of"),
            (
                {"task": None, "batch": {"name": "b", "tasks": [{"type": "GONE"}]}},
                "its batch is refused: tasks.0.type: must be one of",
            ),
        ],
        ids=["task", "batch"],
    )
    def test_what_is_refused_is_missed_and_told(self, session: Session, columns: dict[str, Any], note: str) -> None:
        bad = make_schedule(overlap="cancel_running", **columns)
        good = make_schedule()
        with capture_logs() as lines:
            report = fire_due(session)
        assert (states(bad), states(good)) == (["MISSED"], ["FIRED"])
        assert ledger(bad)[0].note.startswith(note)
        assert [(line["event"], line["schedule"]) for line in lines if line["log_level"] == "error"] == [
            ("schedule_task_refused", bad.name)
        ]
        assert report.tasks == 1
        assert Schedule.objects.get(pk=bad.pk).next_slot == bad.next_slot + MINUTE  # type: ignore[operator]

    @pytest.mark.parametrize("columns", [{"cron": "* * * * 99"}, {"timezone": "UTC"}], ids=["stored", "defect"])
    def test_what_cannot_be_decided_is_put_off_and_stops_no_other(
        self, session: Session, monkeypatch: pytest.MonkeyPatch, columns: dict[str, Any]
    ) -> None:
        bad, good = make_schedule(late=MINUTE, **columns), make_schedule()
        if "cron" not in columns:
            decide = batches.decide

            def broken(schedule_id: Any, *args: Any, **options: Any) -> Any:
                return None if schedule_id == bad.pk else decide(schedule_id, *args, **options)

            monkeypatch.setattr(batches, "decide", broken)
        with capture_logs() as lines:
            fire_due(session)
        assert [(line["event"], line["schedule"]) for line in lines if line["log_level"] == "error"] == [
            ("schedule_not_decided", bad.name)
        ]
        assert (states(bad), states(good)) == ([], ["FIRED"])
        put_off = Schedule.objects.get(pk=bad.pk)
        assert put_off.next_slot == bad.next_slot
        assert put_off.next_fire_at > whole_now() + MINUTE / 2  # type: ignore[operator]


class TestSeveralSchedulers:
    def test_pass_over_what_another_decides(self, session: Session, open_session: OpenSession) -> None:
        schedules, other = [make_schedule() for _ in range(3)], open_session()
        with transaction(other), other.connection.cursor() as cursor:
            fire(cursor, locked_rows(other))
            assert fire_due(session).schedules == 0
        assert fire_due(session).schedules == 0
        assert [states(schedule) for schedule in schedules] == [["FIRED"]] * 3
        assert everything_once(session)

    def test_look_again_at_what_another_has_decided_meanwhile(
        self, session: Session, open_session: OpenSession
    ) -> None:
        """Their snapshots are older than the other's commit: the lock must see what came of it."""
        make_schedule()
        looker, watcher = open_session(), open_session()
        with looks_held(watcher):
            look = rival_on(looker, lambda s: held_after_its_look(s, "due_schedules", "WHERE", {"limit": 500}))
            look.waits(session)
            assert fire_due(session).tasks == 1
        assert look.answer() == []

    def test_see_the_tasks_another_has_just_made(self, session: Session, open_session: OpenSession) -> None:
        """Two slots are due, one is decided by a scheduler that stops there: the next one must see its task."""
        schedule, other = make_schedule(due=2, every=timedelta(seconds=2), overlap="skip"), open_session()
        with transaction(other), other.connection.cursor() as cursor:
            [row] = locked_rows(other)
            at_the_first = row._replace(now=row.next_slot)
            fire(cursor, [at_the_first])
        fire_due(session)
        assert states(schedule) == ["FIRED", "SKIPPED_OVERLAP"]

    def test_fire_each_slot_once_between_them(self, session: Session, open_session: OpenSession) -> None:
        schedules = [make_schedule(due=3, overlap="allow", misfire_policy="run_all") for _ in range(120)]

        def run(own: Session) -> int:
            total = 0
            while report := fire_due(own, limit=7):
                total += report.tasks
                if not own.fetch("SELECT 1 FROM schedules WHERE next_fire_at <= now() LIMIT 1"):
                    return total
            return total

        with ThreadPoolExecutor(3) as threads:
            totals = list(threads.map(run, [open_session() for _ in range(3)]))
        assert sum(totals) == Task.objects.filter(schedule_id__isnull=False).count() == 3 * len(schedules)
        assert ScheduleFire.objects.count() == 3 * len(schedules)
        assert everything_once(session)


class TestDeathInThePass:
    @pytest.mark.parametrize("place", ["open_tasks", "cancel_tasks", "record_fires", "COPY", "COMMIT"])
    def test_loses_nothing_and_doubles_nothing(
        self, engine: Engine, open_session: OpenSession, monkeypatch: pytest.MonkeyPatch, place: str
    ) -> None:
        schedule = make_schedule(due=2, overlap="cancel_running")
        before = engine.create()
        Task.objects.filter(pk=before).update(schedule_id=schedule.pk, scheduled_for=schedule.last_slot)
        dying = open_session()
        pid = dying.connection.info.backend_pid

        def kill() -> None:
            engine.session.fetch("SELECT pg_terminate_backend(%s, 5000)", [pid])

        if place == "COPY":
            store_tasks = making.store_tasks
            monkeypatch.setattr(making, "store_tasks", lambda *args: (store_tasks(*args), kill()))
        elif place == "COMMIT":
            write = batches.Batch.write
            monkeypatch.setattr(batches.Batch, "write", lambda *args: (write(*args), kill()))
        else:
            module = {"open_tasks": firing, "cancel_tasks": cancelling}.get(place, batches)
            monkeypatch.setattr(
                module, "statement", lambda name, *rest: (name == place and kill(), statement(name, *rest))[1]
            )
        with pytest.raises(DatabaseAway):
            fire_due(dying)
        assert (ledger(schedule), engine.task(before).status) == ([], "PENDING")
        assert [task.pk for task in tasks_of(schedule)] == [before]
        monkeypatch.undo()
        fire_due(dying)
        assert states(schedule) == ["COALESCED", "FIRED"]
        assert (engine.task(before).status, len(tasks_of(schedule))) == ("CANCELLED", 2)

    def test_that_commits_unheard_is_found_done(self, session: Session, open_session: OpenSession) -> None:
        schedule, dying = make_schedule(), open_session()
        with transaction(dying), dying.connection.cursor() as cursor:
            fire(cursor, locked_rows(dying))
        dying.close()
        assert fire_due(session).schedules == 0
        assert states(schedule) == ["FIRED"]


class TestFrozenScheduler:
    def test_is_cut_off_and_others_fire_what_it_held(self, session: Session) -> None:
        schedule = make_schedule()
        frozen = Session("test", idle_in_transaction_session_timeout="100")
        frozen.execute("BEGIN")
        assert len(locked_rows(frozen)) == 1
        eventually(lambda: fire_due(session).tasks == 1)
        with pytest.raises((psycopg.Error, DatabaseAway)):
            frozen.execute("COMMIT")
        assert states(schedule) == ["FIRED"]


class TestDeletedUnderAPass:
    def test_makes_nothing_more_but_keeps_its_ledger(self, session: Session, open_session: OpenSession) -> None:
        schedule, other = make_schedule(), open_session()
        with transaction(other), other.connection.cursor() as cursor:
            fire(cursor, locked_rows(other))
            deletion = rival_on(
                session, lambda s: s.fetch("DELETE FROM schedules WHERE id = %s RETURNING 1", [schedule.pk])
            )
            deletion.waits(open_session())
        assert deletion.answer() == [(1,)]
        assert fire_due(session).schedules == 0
        assert (states(schedule), len(tasks_of(schedule))) == (["FIRED"], 1)


def test_the_order_of_columns_is_the_same_in_all_places() -> None:
    for name in ("due_schedules", "schedules_under_old_rules"):
        columns = statement(name).partition("SELECT")[2].partition("FROM")[0].replace("s.", "").split(",")
        assert [column.strip().removesuffix("::text") for column in columns[:-2]] == list(StoredSchedule._fields[:-2])


class TestDueSchedules:
    def test_are_locked_the_longest_overdue_first_and_passed_over_by_others(
        self, session: Session, open_session: OpenSession
    ) -> None:
        late, later = make_schedule(due=2), make_schedule(due=5)
        other = open_session()
        with transaction(session), transaction(other):
            first, second = (each.rows("due_schedules", {"limit": 1}) for each in (session, other))
        assert [row[0] for row in (*first, *second)] == [later.pk, late.pk]


class TestOpenTasks:
    def test_are_those_of_a_schedule_that_have_not_ended_oldest_first(self, engine: Engine) -> None:
        schedule, idle = make_schedule(), make_schedule()
        worker = engine.worker()
        ended = engine.running(worker)
        open_tasks = [engine.create(), engine.create()]
        Task.objects.update(schedule_id=schedule.pk, scheduled_for=schedule.next_slot)
        engine.finish(worker, ended, SUCCEEDED)
        make_batch(schedule_id=schedule.pk, status="FAILED")
        batch = make_batch(schedule_id=schedule.pk)
        rows = engine.session.rows("open_tasks", {"schedules": [schedule.pk, idle.pk]})
        assert rows == [(schedule.pk, open_tasks, [batch.pk]), (idle.pk, [], [])]


class TestRecordFires:
    @pytest.mark.parametrize("of_batch", [False, True])
    def test_names_what_is_to_be_made_for_slots_that_had_no_row(self, session: Session, of_batch: bool) -> None:
        schedule, made = make_schedule(), uuid4()
        moves = (schedule.pk, None, None, schedule.next_slot, schedule.next_slot, None, "rules", 0, "")
        ids = (None, made) if of_batch else (made, None)
        fire = (schedule.pk, schedule.next_slot, None, schedule.next_slot, "FIRED", "", *ids)
        parameters = batches._arrays(batches._FIRES, [fire]) | batches._arrays(batches._MOVES, [moves])
        assert [session.rows("record_fires", parameters) for _ in range(2)] == [[(made,)], []]
        [row] = ledger(schedule)
        assert (row.state, row.task_id, row.batch_id) == ("FIRED", *ids)
