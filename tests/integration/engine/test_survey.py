"""What is waiting: the look before every pass."""

from __future__ import annotations

import pytest

from flow_app.queues import pause_queue
from flow_app.survey import survey_due
from tests.support.engine import Engine, in_seconds


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
