"""Random stories on a real database: of the engine, and of all rules of flow control together.

``MODEL_EXAMPLES`` and ``MODEL_STEPS`` (default 50) buy more of them; ``MODEL_SEED=any`` makes them new ones.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from django.conf import settings as django_settings
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tasks_app.sessions import Session
from tests.property.engine_machine import MAX_CRASHES, EngineMachine
from tests.property.flow_machine import FlowMachine
from tests.support.scale import WHOLE


def play(machine: type[EngineMachine], session: Session, *, whole: int, part: int) -> None:
    machine.session = session
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=int(os.environ.get("MODEL_EXAMPLES", whole if WHOLE else part)),
            stateful_step_count=int(os.environ.get("MODEL_STEPS", "50")),
            derandomize=os.environ.get("MODEL_SEED") != "any",
            database=None,
            # Shrinking a story takes minutes: `MODEL_SHRINK=1` when there is one to understand.
            phases=list(Phase) if os.environ.get("MODEL_SHRINK") else [Phase.explicit, Phase.generate],
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture(autouse=True)
def few_crashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(django_settings, "SCHEDULER", replace(django_settings.SCHEDULER, max_crashes=MAX_CRASHES))


@pytest.mark.timeout(600)
def test_the_engine_behaves_like_its_model(session: Session) -> None:
    play(EngineMachine, session, whole=80, part=20)


@pytest.mark.timeout(600)
def test_flow_control_lets_start_what_it_says_and_nothing_else(session: Session) -> None:
    play(FlowMachine, session, whole=80, part=10)
