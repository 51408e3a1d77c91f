"""What is waiting: the look before every pass."""

from __future__ import annotations

import time

import pytest

from flow_app.outlook import Head, Outlook
from flow_app.queues import edit_queue, pause_queue
from flow_app.survey import survey_due
from tasks_app.floors import LOWEST
from tasks_app.models import Task
from tasks_app.starting import Attempt
from tasks_app.states import Gate
from tests.support.engine import SUCCEEDED, Engine, in_seconds


class TestSurveyDue:
    def test_lists_the_head_of_every_queue_and_priority(self, engine: Engine) -> None:
        for queue, priority in [("a", 5), ("a", 0), ("b", -3)]:
            engine.create_many(3, queue=queue, priority=priority)
        survey = survey_due(engine.session)
        assert {(head.queue, head.priority) for head in survey.heads} == {("a", 5), ("a", 0), ("b", -3)}
        assert all(head.due_in <= 0 for head in survey.heads)

    def test_tells_when_the_next_one_falls_due(self, engine: Engine) -> None:
        engine.create(schedule_at=in_seconds(30))
        engine.create(schedule_at=in_seconds(90), queue="other")
        survey = survey_due(engine.session)
        assert survey.next_due_in == pytest.approx(30, abs=2)
        assert not survey.has_due

    def test_knows_nothing_due_without_a_worker_that_serves_it(self, engine: Engine) -> None:
        engine.create(queue="mail")
        assert not survey_due(engine.session).has_due
        engine.worker(queues=["other"])
        assert not survey_due(engine.session).has_due
        engine.worker(queues=["mail", "more"])
        assert survey_due(engine.session).has_due

    def test_leaves_out_a_queue_paused_for_good(self, engine: Engine) -> None:
        engine.create(queue="held")
        pause_queue("held", actor="test")
        assert survey_due(engine.session).heads == []

    def test_takes_the_end_of_a_pause_for_a_due_time(self, engine: Engine) -> None:
        engine.create(queue="held")
        pause_queue("held", actor="test", until=in_seconds(40))
        assert survey_due(engine.session).next_due_in == pytest.approx(40, abs=2)

    def test_lists_suspects_as_one_head_of_no_queue(self, engine: Engine) -> None:
        engine.suspects({"queue": "a"}, {"queue": "b"})
        [head] = survey_due(engine.session).heads
        assert (head.queue, head.priority) == (None, None)
        assert head.due_in <= 0

    def test_does_not_list_what_is_parked(self, engine: Engine) -> None:
        engine.worker(slots=1)
        engine.create_many(2, concurrency_key="k")
        engine.assign()
        assert survey_due(engine.session).heads == []


class TestFullQueue:
    """Only an end can let more of it start: were it due, each hint about another queue led to a pass for nothing."""

    @pytest.fixture
    def filled(self, engine: Engine) -> Attempt:
        """The one running task of a queue that may have one; another one waits, besides one that needs a label."""
        edit_queue("full", {"maxConcurrency": 1}, actor="test")
        worker = engine.worker(slots=9, labels={"gpu": "a100"})
        running = engine.running(worker, queue="full")
        engine.create(queue="full")
        engine.create(queue="full", required_labels={"gpu": "a100"})
        return running

    def seen(self, engine: Engine, outlook: Outlook | None = None) -> int:
        return len(survey_due(engine.session, outlook=outlook).heads)

    def test_is_not_due_until_a_task_of_it_has_ended(self, engine: Engine, filled: Attempt) -> None:
        assert self.seen(engine) == 0
        worker = engine.owner_of(filled.task_id)
        assert worker is not None
        engine.finish(worker, filled, SUCCEEDED)
        assert self.seen(engine) == 2

    def test_is_due_as_soon_as_its_limit_is_raised(self, engine: Engine, filled: Attempt) -> None:
        edit_queue("full", {"maxConcurrency": 2}, actor="test")
        assert self.seen(engine) == 2

    def test_is_not_due_behind_floors(self, engine: Engine, filled: Attempt) -> None:
        outlook = Outlook()
        outlook.pairs.current(engine.session)
        outlook.pairs.note([Head("full", 0, 0.0, LOWEST, filled.task_id, LOWEST)])
        outlook.pairs.note_look(time.monotonic() - 1, [])
        assert outlook.pairs.current(engine.session)
        assert self.seen(engine, outlook) == 0
        edit_queue("full", {"maxConcurrency": 2}, actor="test")
        assert self.seen(engine, outlook) == 2

    def test_is_not_due_when_tenants_share_it(self, engine: Engine, filled: Attempt) -> None:
        edit_queue("full", {"fairBy": "fairKey", "maxConcurrency": 2}, actor="test")
        engine.create_many(2, queue="full")
        engine.settle()
        assert Task.objects.filter(gate=Gate.TURN).exists()
        assert self.seen(engine) == 0
        edit_queue("full", {"maxConcurrency": 3}, actor="test")
        assert self.seen(engine) > 0
