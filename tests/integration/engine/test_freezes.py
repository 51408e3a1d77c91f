"""Freezes: nothing they cover starts while one is open, and nobody is forgotten when it thaws."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from django.db.transaction import atomic

from access_app.models import AuditEvent
from access_app.refusals import InvalidInput
from access_app.versions import Stale
from flow_app import counting_in, freeze_figures, freezes, opening
from flow_app.freeze_figures import measure_frozen
from flow_app.freezes import FreezeOver, NewFreeze
from flow_app.freezing import park_frozen
from flow_app.models import Freeze, Queue
from flow_app.outlook import BEGINNING, Outlook
from flow_app.queues import pause_queue, resume_queue
from flow_app.thawing import Sweeper, delete_old_freezes, end_due_freezes, find_going, release_frozen
from tasks_app.models import Task
from tasks_app.reasons import reasons_for
from tasks_app.sessions import Session
from tasks_app.states import Gate
from tests.support.engine import SUCCEEDED, Engine, in_seconds, pass_over
from tests.support.races import locked, rival, transaction

OpenSession = Callable[[], Session]
HOST = "api.example.com"
HOW = "name it as urls do, without scheme, port and path"


def freeze(**named: Any) -> Freeze:
    return freezes.freeze(NewFreeze(**named), actor="ops")[0]


def thaw(row: Freeze, rate: int | None = None) -> Freeze:
    asked = None if rate is None else {"limit": rate, "periodSeconds": 3600}
    return freezes.thaw(row.pk, actor="ops", rate=asked)


def owned() -> int:
    return Task.objects.filter(status__in=["SCHEDULED", "RUNNING"]).count()


def parked() -> int:
    return Task.objects.filter(gate=Gate.FREEZE).count()


#: What is frozen, and tasks that this covers.
KINDS: dict[str, tuple[dict[str, Any], Callable[[Engine], list[UUID]]]] = {
    "queue": ({"queues": ["q"]}, lambda engine: engine.create_many(3, queue="q")),
    "type": ({"types": ["HTTP"]}, lambda engine: engine.calls(3)),
    "target": ({"targets": [HOST.upper() + "."]}, lambda engine: engine.calls(3, HOST)),
}
kinds = pytest.mark.parametrize("kind", KINDS)


class TestFreeze:
    @kinds
    def test_lets_nothing_start_that_it_covers_and_all_else(self, engine: Engine, kind: str) -> None:
        named, make = KINDS[kind]
        row = freeze(**named)
        engine.worker(slots=9)
        make(engine)
        other = engine.create()
        engine.settle()
        assert (owned(), engine.task(other).status) == (1, "SCHEDULED")
        assert engine.violations() == {}
        thaw(row)
        engine.settle()
        assert (owned(), parked()) == (4, 0)
        assert Freeze.objects.get().status == "ENDED"
        assert engine.violations() == {}

    @kinds
    def test_takes_back_what_has_not_started_and_lets_run_what_has(self, engine: Engine, kind: str) -> None:
        named, make = KINDS[kind]
        worker = engine.worker(slots=9)
        make(engine)
        other = engine.create(priority=-1)
        engine.settle()
        [running] = engine.start(worker, limit=1)
        freeze(**named)
        assert engine.statuses([other]) == ["SCHEDULED"]
        assert (owned(), [each.task_id for each in engine.start(worker)]) == (2, [other])
        engine.finish(worker, running, SUCCEEDED)
        assert engine.violations() == {}

    def test_of_one_of_two_leaves_the_other_alone_and_a_pause_too(self, engine: Engine) -> None:
        engine.worker(slots=9)
        first, second = freeze(queues=["q"]), freeze(queues=["q"], types=["HTTP"])
        third = freeze(targets=[HOST])
        pause_queue("q", actor="test")
        engine.create(queue="q")
        engine.calls(1, HOST)
        engine.settle()
        thaw(first)
        engine.settle()
        assert owned() == 0
        thaw(second)
        engine.settle()
        assert owned() == 0
        resume_queue("q", actor="test")
        engine.settle()
        assert owned() == 1
        thaw(third)
        engine.settle()
        assert owned() == 2
        assert engine.violations() == {}

    def test_outlasts_the_resume_of_its_queue(self, engine: Engine) -> None:
        engine.worker()
        pause_queue("q", actor="test")
        freeze(queues=["q"])
        engine.create(queue="q")
        resume_queue("q", actor="test")
        engine.settle()
        assert owned() == 0


class TestParkFrozen:
    """What such a freeze holds is out of sight after the pass that meets it."""

    def test_is_not_in_the_way_of_others(self, engine: Engine) -> None:
        """A hundred behind it, one place: what comes behind them is met by the pass that has parked them."""
        freeze(types=["HTTP"])
        engine.worker(slots=1)
        engine.calls(50, queue="q", priority=100)
        beside = engine.create(queue="q", priority=100)
        engine.calls(50, queue="q", priority=100)
        behind = engine.create(queue="q", priority=-100)
        engine.assign()
        engine.worker(slots=1)
        engine.assign()
        assert (engine.statuses([beside, behind]), parked()) == (["SCHEDULED"] * 2, 100)

    def test_gives_the_place_of_a_key_to_the_next(self, engine: Engine) -> None:
        freeze(types=["HTTP"])
        engine.worker(slots=9)
        engine.calls(2, concurrency_key="k", priority=1)
        other = engine.create(concurrency_key="k")
        engine.settle()
        assert engine.task(other).status == "SCHEDULED"
        assert engine.violations() == {}

    def test_takes_the_first_of_a_key_out_of_its_line(self, engine: Engine) -> None:
        """Also one that no pass sees, because it is parked behind its key."""
        freeze(types=["HTTP"])
        engine.worker(slots=9)
        [first] = engine.calls(1, concurrency_key="k", priority=1)
        Task.objects.filter(pk=first).update(gate=Gate.KEY)
        other = engine.create(concurrency_key="k")
        engine.settle()
        assert (engine.task(other).status, engine.task(first).gate) == ("SCHEDULED", Gate.FREEZE)

    def test_shows_the_next_of_a_key_at_once(self, engine: Engine) -> None:
        freeze(types=["HTTP"])
        engine.worker(slots=9)
        engine.calls(1, concurrency_key="k")
        other = engine.create(concurrency_key="k")
        Task.objects.filter(pk=other).update(gate=Gate.KEY)
        engine.settle()
        assert engine.task(other).status == "SCHEDULED"

    @pytest.mark.parametrize("fields", [{"required_labels": {"gpu": "a"}}, {"fair_key": "t"}], ids=str)
    def test_is_in_nobodys_way_whatever_its_tasks_need(self, engine: Engine, fields: dict[str, Any]) -> None:
        Queue.objects.create(name="shared", fair_by="fairKey", has_turns=True)
        engine.worker(slots=1, labels={"gpu": "a"})
        freeze(types=["HTTP"])
        engine.calls(50, queue="shared", priority=1, **fields)
        other = engine.create(queue="shared", **fields)
        for _ in range(6):
            engine.assign()
        assert (engine.task(other).status, parked()) == ("SCHEDULED", 50)
        assert engine.violations() == {}

    def test_covers_suspects(self, engine: Engine) -> None:
        row = freeze(types=["HTTP"])
        engine.worker()
        [task_id] = engine.calls()
        engine.session.execute("UPDATE tasks SET crash_count = 1 WHERE id = %s", [task_id])
        engine.settle()
        assert owned() == 0
        thaw(row)
        engine.settle()
        assert owned() == 1


class TestReasons:
    def test_says_why(self, engine: Engine) -> None:
        until = datetime.fromisoformat("9999-01-01T00:00:00Z")
        row = freeze(types=["HTTP"], reason="provider is down", until=until)
        [task_id] = engine.calls()
        [reason] = [each for each in reasons_for(engine.task(task_id)) if each.code == "FREEZE"]
        assert reason.detail == "type HTTP is frozen by ops: provider is down"
        assert (reason.until, reason.links) == (until, {"freeze": f"/freezes/{row.pk}"})

    def test_says_that_a_thaw_has_not_come_to_it(self, engine: Engine) -> None:
        row = freeze(types=["HTTP"])
        engine.worker()
        [task_id] = engine.calls()
        engine.settle()
        thaw(row, rate=2)
        [reason] = [each for each in reasons_for(engine.task(task_id)) if each.code == "FREEZE"]
        assert reason.detail == ("the freeze that held it is thawed, and what waited comes back at 2 in 3,600 s")


class TestTrail:
    def test_is_in_the_trail(self, engine: Engine) -> None:
        row = freeze(queues=["b", "a", "b"], reason="why not")
        thaw(row)
        found = AuditEvent.objects.filter(target=f"freeze:{row.pk}").order_by("id")
        assert [(each.action, each.actor, each.reason) for each in found] == [
            ("freeze.opened", "ops", "why not"),
            ("freeze.thawed", "ops", ""),
        ]
        assert found[0].detail == {"queues": ["a", "b"]}


class TestNewFreeze:
    @pytest.mark.parametrize(
        ("named", "problem"),
        [
            ({}, {"queues": "name at least one queue, target or type"}),
            ({"queues": ["a b"]}, {"queues": "'a b' is no name of a queue"}),
            ({"targets": ["http://x"]}, {"targets": f"'http://x' is no host: {HOW}"}),
            ({"queues": [f"q{n}" for n in range(101)]}, {"queues": "must be 100 at most"}),
        ],
    )  # fmt: skip
    def test_refuses_what_cannot_be(self, named: dict[str, Any], problem: dict[str, str]) -> None:
        with pytest.raises(InvalidInput) as refused:
            NewFreeze(**named)
        assert refused.value.problems == problem

    def test_knows_the_types_there_are(self) -> None:
        with pytest.raises(InvalidInput, match="there is no type 'http': there are DUMMY, HTTP, SHELL"):
            NewFreeze(types=["http"])


class TestLockFrozen:
    """A start and a freeze, in both orders: a task has begun before the freeze, or it does not begin."""

    def test_waits_for_a_start_that_is_under_way(self, engine: Engine, open_session: OpenSession) -> None:
        """Also for one that began after the row of the freeze was made."""
        Queue.objects.create(name="q")
        worker = engine.worker()
        engine.create(queue="q")
        engine.settle()
        with ExitStack() as starting:
            with locked(open_session(), "queues", "name", "q"):
                freezing = rival(lambda: freeze(queues=["q"]))
                freezing.waits(open_session())
                starting.enter_context(transaction(engine.session))
                [attempt] = engine.start(worker)
            freezing.waits(open_session())
        task, row = engine.task(attempt.task_id), freezing.answer()
        assert task.status == "RUNNING"
        assert task.started_at is not None
        assert task.started_at < row.created_at
        assert engine.violations() == {}

    @kinds
    def test_lets_no_start_behind_it_through(self, engine: Engine, kind: str) -> None:
        named, make = KINDS[kind]
        worker = engine.worker()
        make(engine)
        engine.settle()
        with atomic():
            freeze(**named)
            assert engine.start(worker) == []
        assert engine.start(worker) == []
        assert owned() == 0

    def test_does_not_wait_for_ever(
        self, engine: Engine, open_session: OpenSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A session that holds an assigned task must not keep up the freeze; a scheduler takes it back later."""
        monkeypatch.setattr(counting_in, "WAITS", 20)
        engine.worker()
        task_id, other = engine.create_many(2, queue="q")
        engine.settle()
        with locked(open_session(), "tasks", "id", task_id):
            freeze(queues=["q"])
            assert engine.statuses([task_id, other]) == ["SCHEDULED", "PENDING"]
        assert Sweeper(Outlook()).sweep(engine.session) == 1
        assert engine.statuses([task_id]) == ["PENDING"]


class TestRacesWithPasses:
    """A pass and a freeze, in both orders: no pass that has not seen it commits after it."""

    def test_a_freeze_waits_for_the_pass_and_takes_back_what_it_gave(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        worker = engine.worker()
        [task_id] = engine.calls()
        with transaction(engine.session):
            engine.session.rows("take_pass")
            assert pass_over(engine.session, ["default"]).tasks == [task_id]
            freezing = rival(lambda: freeze(types=["HTTP"]))
            freezing.waits(open_session())
        freezing.answer()
        assert (engine.start(worker), engine.statuses([task_id])) == ([], ["PENDING"])

    def test_a_pass_leaves_it_to_the_next_one_while_a_freeze_begins(self, engine: Engine) -> None:
        engine.worker()
        engine.calls()
        with atomic():
            freeze(types=["HTTP"])
            assert not engine.assign().held
        assert (engine.settle(), parked()) == (0, 1)

    def test_what_a_pass_parks_while_the_time_of_a_freeze_is_over_comes_back(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        """The pass began before that time, and commits after everybody has looked for what waits."""
        engine.worker()
        freeze(types=["HTTP"], until=in_seconds(3600))
        [task_id] = engine.calls()
        late = open_session()
        with transaction(late):
            late.rows("take_pass")
            assert park_frozen(late, [task_id]) == {task_id}
            engine.session.execute("UPDATE freezes SET until = now() - interval '1 second'")
            opening.open_known(engine.session, Outlook())
            assert Freeze.objects.get().ended_at is None
        assert engine.settle() == 1
        assert (engine.task(task_id).status, Freeze.objects.get().status) == ("SCHEDULED", "ENDED")
        assert Freeze.objects.get().thawed_by == "scheduler"


class TestEndDueFreezes:
    def test_ends_by_the_clock_of_the_database_and_says_so(self, engine: Engine) -> None:
        engine.worker(slots=9)
        freeze(queues=["q"], until=in_seconds(3600))
        lasting = freeze(queues=["r"])
        for queue in "qr":
            engine.create(queue=queue)
        assert engine.settle() == 0
        engine.session.execute("UPDATE freezes SET until = now() - interval '1 second' WHERE until IS NOT NULL")
        engine.session.execute("UPDATE queues SET frozen_until = now() - interval '1 second' WHERE name = 'q'")
        assert engine.settle() == 1
        assert Sweeper(Outlook()).sweep(engine.session) == 1
        assert engine.violations() == {}
        assert Queue.objects.get(name="q").frozen is False
        assert [each.id for each in find_going(engine.session)] == [lasting.pk]
        assert AuditEvent.objects.filter(action="freeze.thawed", actor="scheduler").count() == 1

    def test_keeps_a_queue_that_another_freeze_holds(self, engine: Engine) -> None:
        freeze(queues=["q"], until=in_seconds(3600))
        freeze(queues=["q"])
        engine.session.execute("UPDATE freezes SET until = now() - interval '1 second' WHERE until IS NOT NULL")
        assert len(end_due_freezes(engine.session)) == 1
        queue = Queue.objects.get(name="q")
        assert (queue.frozen, queue.frozen_until) == (True, None)

    def test_wakes_its_scheduler_at_its_time(self, engine: Engine) -> None:
        freeze(types=["HTTP"], until=in_seconds(30))
        assert 29 < opening.open_known(engine.session, Outlook()) <= 30


class TestReleaseFrozen:
    def test_brings_back_by_priority_then_due_time_as_many_as_there_are_tokens(self, engine: Engine) -> None:
        row = freeze(types=["HTTP"])
        engine.worker(slots=20)
        order = [
            engine.calls(1, queue=queue, priority=priority)[0]
            for queue, priority in (("c", 0), ("a", 0), ("b", 9))
            for _ in "ab"
        ]
        engine.settle()
        thaw(row, rate=2)
        opened = []
        for left in range(5, -1, -1):
            for _ in "ab":  # the second one finds no token
                assert (opening.open_known(engine.session, Outlook()) > 1000) == bool(left)
                assert parked() == left
            opened += sorted(Task.objects.filter(gate=Gate.OPEN).exclude(pk__in=opened).values_list("pk", flat=True))
            engine.session.execute("UPDATE freezes SET thaw_full_at = thaw_full_at - interval '30 minutes'")
        assert opened == [*order[4:], *order[:4]]
        opening.open_known(engine.session, Outlook())
        assert Freeze.objects.get().status == "ENDED"

    def test_goes_on_where_a_scheduler_died(self, engine: Engine) -> None:
        """Each step of the walk is of another scheduler that knows nothing of the others."""
        row = freeze(types=["HTTP"])
        engine.worker(slots=9)
        engine.calls(9)
        engine.settle()
        thaw(row)
        for _ in range(9):
            released = release_frozen(engine.session, row.pk, limit=1)
            assert released is not None
            assert (released.opened, released.over) == (1, False)
        assert (parked(), Freeze.objects.get().status) == (0, "THAWING")
        engine.settle()
        assert (owned(), Freeze.objects.get().status) == (9, "ENDED")

    def test_walks_past_what_another_freeze_holds(self, engine: Engine) -> None:
        engine.worker(slots=20)
        held, row = freeze(targets=[HOST]), freeze(types=["HTTP"])
        engine.calls(5, HOST, priority=9)
        engine.calls(5, "other.example")
        engine.settle()
        thaw(row)
        outlook = Outlook()
        place = release_frozen(engine.session, row.pk, limit=3)
        assert place is not None
        assert (place.met, place.opened, place.over) == (0, 0, False)
        engine.settle()
        assert (owned(), parked()) == (5, 5)
        thaw(held)
        assert opening.open_known(engine.session, outlook) == 0
        engine.settle()
        assert (owned(), parked()) == (10, 0)

    def test_forgets_nobody_whom_somebody_else_holds(self, engine: Engine, open_session: OpenSession) -> None:
        engine.worker(slots=9)
        row = freeze(types=["HTTP"])
        task_id, *_ = engine.calls(3)
        engine.settle()
        thaw(row)
        with locked(open_session(), "tasks", "id", task_id):
            engine.settle()
            assert (owned(), parked(), Freeze.objects.get().status) == (2, 1, "THAWING")
        engine.settle()
        assert (owned(), Freeze.objects.get().status) == (3, "ENDED")

    def test_ends_nothing_when_only_the_end_of_a_walk_was_clean(self, engine: Engine) -> None:
        row = freeze(types=["HTTP"])
        engine.worker()
        thaw(row)
        unclean = BEGINNING._replace(clean=False)
        for place, over in ((unclean, False), (BEGINNING, True)):
            found = release_frozen(engine.session, row.pk, place)
            assert found is not None
            assert (found.met, found.over) == (0, over)

    def test_of_no_freeze_opens_what_is_left_of_one_that_is_gone(self, engine: Engine) -> None:
        freeze(types=["HTTP"])
        engine.worker()
        engine.calls()
        engine.settle()
        Sweeper(Outlook()).sweep(engine.session)
        assert parked() == 1
        Freeze.objects.all().delete()
        assert Sweeper(Outlook()).sweep(engine.session) == 1
        assert parked() == 0


class TestThaw:
    def test_at_a_rate_resumes_its_queues_at_it(self, engine: Engine) -> None:
        row = freeze(queues=["q"])
        engine.worker(slots=9)
        engine.create_many(5, queue="q")
        assert thaw(row, rate=1).status == "ENDED"
        assert engine.settle() == 1
        assert Queue.objects.get(name="q").thaw_limit == 1

    def test_once_more_changes_or_ends_the_rate(self, engine: Engine) -> None:
        row = freeze(types=["HTTP"])
        engine.worker(slots=9)
        engine.calls(5)
        engine.settle()
        thaw(row, rate=1)
        assert engine.settle() == 1
        thaw(row)
        assert engine.settle() == 4
        with pytest.raises(FreezeOver, match="it has ended already: ops has thawed it"):
            thaw(row)

    def test_refuses_a_version_that_is_not_its_own(self, engine: Engine) -> None:
        row = freeze(types=["HTTP"])
        with pytest.raises(Stale):
            freezes.thaw(row.pk, actor="ops", versions=[row.version + 1])
        assert Freeze.objects.get().is_open

    def test_tells_schedulers_that_look_at_nothing_else(self, engine: Engine) -> None:
        """One that has forgotten freezes hears of the thaw, or finds it when it keeps house."""
        row = freeze(types=["HTTP"])
        engine.worker()
        engine.calls()
        engine.settle()
        outlook = Outlook()
        opening.open_known(engine.session, outlook)
        assert not outlook.frozen
        thaw(row)
        Sweeper(outlook).sweep(engine.session)
        assert outlook.frozen


class TestFreezeQueues:
    """What a queue's row says of its freezes: the latest of their ends."""

    def test_have_the_end_of_the_last_one(self, engine: Engine) -> None:
        soon, late = in_seconds(60), in_seconds(3600)
        rows = [freeze(queues=["q", "r"], until=until) for until in (soon, None, late)]
        ends = []
        for row in (None, rows[1], rows[2], rows[0]):
            if row is not None:
                thaw(row)
            queue = Queue.objects.get(name="q")
            ends.append((queue.frozen, queue.frozen_until))
        assert ends == [(True, None), (True, late), (True, soon), (False, None)]
        assert engine.violations() == {}

    def test_keep_their_version_where_nothing_changes(self, engine: Engine) -> None:
        freeze(queues=["q"])
        version = Queue.objects.get(name="q").version
        freeze(queues=["q"], until=in_seconds(60))
        assert Queue.objects.get(name="q").version == version


class TestMeasureFrozen:
    def test_counts_what_it_is_about_once(self, engine: Engine) -> None:
        worker = engine.worker(slots=2)
        engine.create_many(2, queue="q")
        engine.settle()
        engine.start(worker, limit=1)
        engine.create_many(3, queue="q")
        engine.calls(4, queue="q")
        engine.calls(5, HOST, queue="r", concurrency_key="k")
        engine.create_many(6, queue="s")
        for named in ({"queues": ["q"], "types": ["HTTP"]}, {"queues": ["q"], "targets": [HOST]}):
            found = measure_frozen(**named)
            assert found.by_status == {"RUNNING": 1, "SCHEDULED": 1, "PENDING": 12}
            assert (found.by_queue, found.at_least) == ({"q": 9, "r": 5}, False)

    def test_stops_counting(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(freeze_figures, "MOST_COUNTED", 3)
        freeze(types=["HTTP"])
        engine.worker()
        engine.calls(5)
        engine.settle()
        found = measure_frozen(types=["HTTP"])
        assert (found.by_status, found.at_least) == ({"PENDING": 3}, True)


class TestDeleteOldFreezes:
    def test_forgets_those_that_are_long_over_and_no_others(self, engine: Engine) -> None:
        old, fresh, lasting = (freeze(queues=[name]) for name in "abc")
        for row in (old, fresh):
            thaw(row)
        engine.session.execute("UPDATE freezes SET ended_at = ended_at - interval '60 days' WHERE id = %s", [old.pk])
        assert delete_old_freezes(engine.session) == 1
        assert set(Freeze.objects.values_list("pk", flat=True)) == {fresh.pk, lasting.pk}
