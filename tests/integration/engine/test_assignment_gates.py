"""Gates: what waits for something besides time and a worker is met by no pass, and in nobody's way."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from flow_app import assignment, opening
from flow_app.queues import counts
from monitoring_app import selectors
from tasks_app import services
from tasks_app.models import Task
from tasks_app.states import PASS_GATES, Gate
from tests.support.engine import SUCCEEDED, Engine

BESIDES_KEYS = [Gate.DEPENDENCY, Gate.APPROVAL, Gate.RATE, Gate.TARGET, Gate.FREEZE]
#: What waits for a token of its key has a place in the line of the key; the others have not.
OUT_OF_LINE = [Gate.DEPENDENCY, Gate.APPROVAL, Gate.TARGET, Gate.FREEZE]


@pytest.mark.parametrize("gate", BESIDES_KEYS)
class TestClosedGates:
    @pytest.mark.parametrize("columns", [{}, {"crash_count": 1}, {"concurrency_key": "k"}])
    def test_keep_a_due_task_out_of_every_pass(self, engine: Engine, gate: Gate, columns: dict[str, object]) -> None:
        task_id = engine.create()
        Task.objects.filter(pk=task_id).update(gate=gate, **columns)
        engine.worker()
        assert (engine.assign().assigned, engine.task(task_id).status) == (0, "PENDING")
        Task.objects.filter(pk=task_id).update(gate=Gate.OPEN)
        assert engine.assign().assigned == 1

    def test_hide_no_task_from_counts(self, engine: Engine, gate: Gate) -> None:
        Task.objects.filter(pk=engine.create()).update(gate=gate)
        assert counts(["default"]) == {"default": (1, 0)}
        assert selectors.survey().waiting == 1

    def test_stay_closed_through_an_edit_unless_the_pass_closed_them(self, engine: Engine, gate: Gate) -> None:
        """What people or other tasks must open does not open because the task got another queue."""
        task_id = engine.create()
        Task.objects.filter(pk=task_id).update(gate=gate)
        services.edit_task(task_id, {"queue": "elsewhere"}, actor="test")
        assert engine.task(task_id).gate == (Gate.OPEN if gate in PASS_GATES else gate)

    def test_keep_a_worker_in_a_burst_waiting_only_for_what_time_opens(self, engine: Engine, gate: Gate) -> None:
        Task.objects.filter(pk=engine.create()).update(gate=gate)
        waits = assignment.anything_due(engine.session, worker_id=engine.worker(), queues=None)
        assert waits == (gate in PASS_GATES and gate != Gate.FREEZE)


@pytest.mark.parametrize("gate", OUT_OF_LINE)
class TestClosedGatesOfKeys:
    def test_let_the_next_of_a_key_go_ahead(self, engine: Engine, gate: Gate) -> None:
        """One that has to wait for something else must not keep the key from those that need nothing but it."""
        gated, *others = engine.create_many(3, concurrency_key="k")
        Task.objects.filter(pk=gated).update(gate=gate)
        worker = engine.worker()
        for task_id in others:
            assert engine.assign().assigned == 1
            [attempt] = engine.start(worker)
            assert attempt.task_id == task_id
            engine.finish(worker, attempt, SUCCEEDED)
        assert engine.task(gated).gate == gate

    def test_do_not_hide_a_lost_release_of_a_key(self, engine: Engine, gate: Gate) -> None:
        gated, parked = engine.create_many(2, concurrency_key="k")
        Task.objects.filter(pk=gated).update(gate=gate)
        Task.objects.filter(pk=parked).update(gate=Gate.KEY)
        opening.release_idle_keys(engine.session)
        assert [engine.task(each).gate for each in (gated, parked)] == [gate, Gate.OPEN]


class TestGateColumn:
    @pytest.mark.parametrize("gate", [-1, 8])
    def test_holds_nothing_but_gates(self, engine: Engine, gate: int) -> None:
        task_id = engine.create()
        with pytest.raises(IntegrityError, match="tasks_ranges"), transaction.atomic():
            Task.objects.filter(pk=task_id).update(gate=gate)
