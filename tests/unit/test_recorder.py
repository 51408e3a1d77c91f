"""How the recorder takes endings from its queue, without a database."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tasks_app.executors.base import Outcome
from tests.unit.test_endings import ending_of
from workers_app import recorder
from workers_app.endings import Ending
from workers_app.recorder import Recorder


class TestNextBatch:
    @pytest.fixture
    def recorder_(self) -> Recorder:
        return Recorder(None, uuid4(), lambda batch: None)  # type: ignore[arg-type]

    def endings(self, count: int) -> list[Ending]:
        return [ending_of(Outcome.success()) for _ in range(count)]

    def test_takes_all_that_waits_up_to_the_limit(self, recorder_: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(recorder, "MAX_BATCH", 4)
        endings = self.endings(6)
        for ending in endings:
            recorder_.put(ending)
        assert [recorder_._next_batch(), recorder_._next_batch()] == [endings[:4], endings[4:]]

    def test_is_empty_at_the_end_and_not_before(self, recorder_: Recorder) -> None:
        [ending] = self.endings(1)
        recorder_.put(ending)
        recorder_.close()
        assert recorder_._next_batch() == [ending]
        assert recorder_._next_batch() == []
