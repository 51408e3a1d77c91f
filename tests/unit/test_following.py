"""The thread that reads for all who follow: it outlives whatever goes wrong, while anybody follows."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from uuid import UUID

import psycopg
import pytest

from access_app.database_faults import DatabaseAway
from tasks_app import following
from tasks_app.following import Follower, Following
from tasks_app.task_output import Ask, Cursor, Page

ENDED = Page(parts=[], next=Cursor(1, 1), ended=True, is_full=False, status="SUCCESS")


def follower() -> Follower:
    return Follower(Ask(UUID(int=1)), lambda: None)


class TestFollowing:
    @pytest.mark.parametrize(
        "error", [DatabaseAway("away"), psycopg.DataError("no text"), RuntimeError("a defect")], ids=str
    )
    def test_serves_those_who_wait_once_reading_succeeds_again(
        self, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        looks: list[int] = []

        def read(asks: Sequence[Ask], _: object) -> list[Page]:
            looks.append(len(asks))
            if len(looks) < 3:
                raise error
            return [ENDED] * len(asks)

        monkeypatch.setattr(following, "read_output", read)
        all_of, waiting = Following(), follower()
        all_of.join(waiting)
        assert waiting.take(10) is ENDED
        all_of.leave(waiting)

    def test_starts_its_thread_for_the_next_when_that_failed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(following, "read_output", lambda asks, _: [ENDED] * len(asks))
        all_of, waiting = Following(), follower()
        with monkeypatch.context() as no_threads:
            no_threads.setattr(threading.Thread, "start", fails)
            with pytest.raises(RuntimeError):
                all_of.join(follower())
        assert len(all_of) == 0
        all_of.join(waiting)
        assert waiting.take(10) is ENDED
        all_of.leave(waiting)


def fails(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")
