"""The thread of a worker that stores output, step by step: when, how much, what an end waits for, a database away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
import pytest
from django.conf import settings

from access_app.database_faults import DatabaseAway
from access_app.masking import MASK
from tasks_app.executors.base import Execution
from tasks_app.models import TaskOutput
from tasks_app.sessions import Session
from tasks_app.starting import Attempt
from tasks_app.task_output import Ask, read_output
from tests.support.engine import Engine, endings
from tests.support.waiting import eventually
from workers_app.endings import Ending
from workers_app.processes import output_keeper
from workers_app.processes.output_keeper import Kept, OutputKeeper
from workers_app.runner import execution_of

#: What a worker holds.
ATTEMPTS: dict[Execution, Attempt] = {}


class Running:
    """An attempt of a worker that has a keeper, whose thread does not run by itself."""

    def __init__(self, keeper: OutputKeeper, attempt: Attempt) -> None:
        self.keeper, self.attempt, self.execution = keeper, attempt, execution_of(attempt)
        self.execution.keep = keeper.keep
        ATTEMPTS[self.execution] = attempt

    def age(self, seconds: float) -> None:
        self.execution.deadline -= seconds

    def write_and_end(self, text: bytes = b"one\n") -> Running:
        """With output that is stored."""
        self.age(3)
        self.execution.write("stdout", text)
        self.end()
        return self

    def end(self) -> None:
        [ending] = endings([self.attempt])
        del ATTEMPTS[self.execution]
        if self.execution.output is None:
            self.keeper._put(ending)
        else:
            self.keeper.end(self.execution, ending)

    def stored(self) -> str:
        parts = read_output([Ask(self.attempt.task_id)])[0].parts
        return "".join((f"[{part.left_out}]" if part.left_out else "") + part.text for part in parts)


Starts = Callable[..., Running]


@pytest.fixture
def put() -> list[Ending]:
    return []


@pytest.fixture
def keeper(engine: Engine, put: list[Ending], monkeypatch: pytest.MonkeyPatch) -> Iterator[OutputKeeper]:
    monkeypatch.setattr(OutputKeeper, "_run", lambda self: None)
    monkeypatch.setattr(settings, "SCHEDULER", replace(settings.SCHEDULER, output_stored=4096))
    with closing(Session("output")) as session:
        yield OutputKeeper(session, 4, put.append, ATTEMPTS.get)


@pytest.fixture
def running(engine: Engine, keeper: OutputKeeper) -> Starts:
    return lambda **fields: Running(keeper, engine.running(engine.worker(), **fields))


class TestOutputKeeper:
    def test_stores_what_is_new_of_an_attempt_that_has_run_for_long_enough(
        self, running: Starts, keeper: OutputKeeper
    ) -> None:
        run = running()
        run.execution.emit("one")
        keeper.step()
        assert not TaskOutput.objects.exists()
        run.age(2)
        keeper.step()
        run.execution.write("stdout", b"two\nthr")
        keeper.step()
        keeper.step()
        assert run.stored() == "one\ntwo\n"
        assert list(TaskOutput.objects.order_by("seq").values_list("stream", "line")) == [("log", 1), ("stdout", 2)]

    def test_costs_an_attempt_that_ends_sooner_no_trip(
        self, running: Starts, keeper: OutputKeeper, put: list[Ending]
    ) -> None:
        silent, short = running(), running()
        short.execution.write("stdout", b"hello\n")
        silent.age(9)
        for run in (silent, short):
            run.end()
        assert [ending.task_id for ending in put] == [silent.attempt.task_id, short.attempt.task_id]
        keeper.step()
        assert (keeper._session.epoch, keeper._kept) == (0, {})

    def test_keeps_nothing_of_what_is_over(self, running: Starts, keeper: OutputKeeper) -> None:
        run = running()
        run.age(3)
        run.end()
        run.execution.write("stdout", b"first words, too late\n")
        keeper.step()
        assert (run.stored(), keeper._kept) == ("", {})

    def test_hands_an_end_on_behind_the_last_line(
        self, running: Starts, keeper: OutputKeeper, put: list[Ending]
    ) -> None:
        run = running().write_and_end(b"the last line")
        run.execution.write("stdout", b"from what it has left behind")
        assert put == []
        keeper.step()
        assert (run.stored(), len(put), keeper._kept) == ("the last line", 1, {})

    def test_keeps_head_and_tail_of_what_is_written_and_counts_what_is_between(
        self, running: Starts, keeper: OutputKeeper
    ) -> None:
        run = running()
        run.age(3)
        lines = [b"%07d\n" % number for number in range(4096)]
        for start in range(0, 4096, 128):
            run.execution.write("stdout", b"".join(lines[start : start + 128]))
            keeper.step()
        run.end()
        keeper.step()
        text = run.stored()
        head, _, tail = text.partition("[")
        left_out, _, tail = tail.partition("]")
        assert head.encode() == b"".join(lines[: len(head) // 8])
        assert tail.encode() == b"".join(lines[-len(tail) // 8 :])
        assert 3000 < len(head) <= 4096
        assert 3000 < len(tail) <= 4096
        assert len(head) + int(left_out) + len(tail) == 8 * 4096
        assert TaskOutput.objects.order_by("-seq").values_list("line", flat=True)[0] > 3900

    def test_masks_what_its_task_was_given_as_a_secret(self, running: Starts, keeper: OutputKeeper) -> None:
        payload = {"command": "env", "environment": {"API_KEY": "a-secret-value"}}
        run = running(type="SHELL", payload=payload)
        run.age(3)
        run.execution.write("stdout", b"with a-secret-")
        keeper.step()
        run.execution.write("stdout", b"value in it\n")
        keeper.step()
        assert run.stored() == f"with {MASK} in it\n"

    def test_shares_a_round_among_all_who_write(
        self, running: Starts, keeper: OutputKeeper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(output_keeper, "ROUND", 200)
        monkeypatch.setattr(output_keeper, "SHARE", 50)
        one, other = running(), running()
        for run in (one, other):
            run.age(3)
            for _ in range(40):
                run.execution.emit("123456789")
        keeper.step()
        assert (len(one.stored()), len(other.stored())) == (100, 100)

    def test_stores_ends_of_many_in_statements_of_a_bounded_size(
        self, running: Starts, keeper: OutputKeeper, put: list[Ending], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(output_keeper, "STATEMENT", 5)
        sent = monkeypatched_sizes(monkeypatch)
        runs = [running() for _ in range(4)]
        for run in runs:
            run.write_and_end(b"123456789\n")
        keeper.step()
        assert (sent, len(put)) == ([1, 1, 1, 1], 4)

    def test_goes_on_behind_output_that_cannot_be_cut(
        self, running: Starts, keeper: OutputKeeper, put: list[Ending], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A defect of ours; it holds up neither ends nor the output of others."""
        goes_on, ended, other = running(), running(), running()
        taken = Kept.take

        def take(kept: Kept, *bounds: int) -> Any:
            if kept.attempt is not other.attempt:
                raise RuntimeError("a defect")
            return taken(kept, *bounds)

        monkeypatch.setattr(Kept, "take", take)
        goes_on.age(3)
        goes_on.execution.emit("one")
        for run in (ended, other):
            run.write_and_end()
        keeper.step()
        assert [ending.task_id for ending in put] == [ended.attempt.task_id, other.attempt.task_id]
        assert (other.stored(), goes_on.execution.output.waits) == ("one\n", False)

    def test_is_awaited_by_nobody_without_its_thread(
        self, running: Starts, keeper: OutputKeeper, put: list[Ending], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, next_one = running(), running()
        with monkeypatch.context() as no_threads:
            no_threads.setattr(threading.Thread, "start", fails)
            with pytest.raises(RuntimeError):
                first.execution.emit("one")
        first.end()
        assert (len(put), keeper._kept) == (1, {})
        next_one.execution.emit("one")
        assert keeper._thread is not None


@dataclass
class Away:
    """What sending raises, and whether the statement gets through all the same: then only its reply is lost."""

    error: BaseException | None = field(default_factory=lambda: DatabaseAway("it is away"))
    arrives: bool = True


class TestAway:
    """The database takes nothing for a while."""

    @pytest.fixture
    def away(self, monkeypatch: pytest.MonkeyPatch) -> Away:
        found, store = Away(), output_keeper.store_output

        def store_or_not(*arguments: Any) -> int:
            stored = store(*arguments) if found.arrives or not found.error else 0
            if found.error:
                raise found.error
            return stored

        monkeypatch.setattr(output_keeper, "store_output", store_or_not)
        return found

    @pytest.mark.parametrize("arrives", [True, False])
    def test_sends_the_same_again_and_stores_nothing_twice(
        self, running: Starts, keeper: OutputKeeper, away: Away, arrives: bool
    ) -> None:
        away.arrives = arrives
        run = running()
        run.age(3)
        run.execution.write("stdout", b"one\n")
        keeper.step()
        run.execution.write("stdout", b"two\n")
        keeper.step()
        away.error = None
        keeper.step()
        keeper.step()
        assert run.stored() == "one\ntwo\n"

    def test_lets_an_end_go_on_when_it_has_waited_long_enough(
        self, running: Starts, keeper: OutputKeeper, put: list[Ending], away: Away,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        run = running().write_and_end()
        keeper.step()
        assert put == []
        monkeypatch.setattr(output_keeper, "END_WITHIN", 0.0)
        keeper.step()
        keeper.step()
        assert len(put) == 1
        away.error = None
        keeper.step()
        assert (run.stored(), len(put), keeper._kept) == ("one\n", 1, {})

    @pytest.mark.parametrize("error", [psycopg.DataError("this is no text"), RuntimeError("a defect")], ids=str)
    def test_goes_on_behind_output_that_cannot_be_stored(
        self, running: Starts, keeper: OutputKeeper, put: list[Ending], away: Away, error: Exception
    ) -> None:
        away.error = error
        running().write_and_end()
        keeper.step()
        assert (len(put), keeper._kept) == (1, {})

    def test_hands_on_every_end_when_its_worker_leaves(self, engine: Engine, put: list[Ending], away: Away) -> None:
        away.arrives = False
        with closing(Session("output")) as session:
            keeper = OutputKeeper(session, 4, put.append, ATTEMPTS.get)
            Running(keeper, engine.running(engine.worker())).write_and_end()
            keeper.close()
        assert len(put) == 1


def test_a_thread_of_its_own_stores_within_a_second(engine: Engine, put: list[Ending]) -> None:
    with closing(Session("output")) as session:
        keeper = OutputKeeper(session, 4, put.append, ATTEMPTS.get)
        run = Running(keeper, engine.running(engine.worker()))
        run.age(3)
        run.execution.emit("hello")
        eventually(run.stored, timeout=2)
        run.end()
        eventually(lambda: put, timeout=2)
        keeper.close()


def fails(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def monkeypatched_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    sizes: list[int] = []
    store = output_keeper.store_output

    def counted(session: Session, chunks: Any, trims: Any) -> int:
        sizes.append(len(chunks))
        return store(session, chunks, trims)

    monkeypatch.setattr(output_keeper, "store_output", counted)
    return sizes
