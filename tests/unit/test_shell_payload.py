"""Which payloads a SHELL task may have, and which of them a worker runs."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks_app import conf
from tasks_app.executors.base import Execution, Outcome, PayloadError, StopReason
from tasks_app.executors.shell import ShellExecutor
from tasks_app.executors.shell_payload import MAX_STRING_BYTES, MAX_TOTAL_BYTES
from tasks_app.states import ErrorCode, ExecutionStatus

LONGEST = "x" * (MAX_STRING_BYTES - 1)
MANY = [LONGEST] * (MAX_TOTAL_BYTES // MAX_STRING_BYTES)


def problems(payload: dict[str, Any]) -> set[str]:
    try:
        ShellExecutor().validate(payload)
    except PayloadError as error:
        assert all(error.problems.values())
        return set(error.problems)
    return set()


class TestValidate:
    @pytest.mark.parametrize(
        "payload",
        [
            {"command": "echo hi"},
            {"command": LONGEST},
            {"argv": ["true"]},
            {"argv": ["printf", "", "ü€😀", "a b"]},
            {"command": "x", "workingDirectory": "/", "environment": {}},
            {"command": "x", "environment": {"_": "", "A1_b": "ü\n", "PATH": "/bin"}},
            {"argv": ["true"], "environment": {"A": "x" * (MAX_STRING_BYTES - 3)}},
        ],
    )
    def test_takes(self, payload: dict[str, Any]) -> None:
        assert problems(payload) == set()

    @pytest.mark.parametrize(
        ("payload", "fields"),
        [
            ({}, {"command"}),
            ({"command": None}, {"command"}),
            ({"command": ""}, {"command"}),
            ({"command": 1}, {"command"}),
            ({"command": ["ls"]}, {"command"}),
            ({"command": "a\0b"}, {"command"}),
            ({"command": "\ud800"}, {"command"}),
            ({"command": LONGEST + "x"}, {"command"}),
            ({"command": "ü" * (MAX_STRING_BYTES // 2)}, {"command"}),
            ({"command": "x", "argv": ["x"]}, {"argv"}),
            ({"argv": []}, {"argv"}),
            ({"argv": "ls"}, {"argv"}),
            ({"argv": None}, {"argv"}),
            ({"argv": [""]}, {"argv.0"}),
            ({"argv": ["x", "", 3, None, "\0"]}, {"argv.2", "argv.3", "argv.4"}),
            ({"argv": ["x", LONGEST + "x"]}, {"argv.1"}),
            ({"argv": MANY}, {"argv"}),
            ({"argv": ["x"] + [""] * (MAX_TOTAL_BYTES // 9)}, {"argv"}),
            ({"command": "x", "environment": {f"A{i}": word[10:] for i, word in enumerate(MANY)}}, {"environment"}),
            ({"command": "x", "workingDirectory": "tmp"}, {"workingDirectory"}),
            ({"command": "x", "workingDirectory": ""}, {"workingDirectory"}),
            ({"command": "x", "workingDirectory": None}, {"workingDirectory"}),
            ({"command": "x", "workingDirectory": "/a\0"}, {"workingDirectory"}),
            ({"command": "x", "workingDirectory": "/" + "x" * 4096}, {"workingDirectory"}),
            ({"command": "x", "environment": None}, {"environment"}),
            ({"command": "x", "environment": ["A=b"]}, {"environment"}),
            ({"command": "x", "environment": {"1A": ""}}, {"environment"}),
            ({"command": "x", "environment": {"A=B": ""}}, {"environment"}),
            ({"command": "x", "environment": {"": ""}}, {"environment"}),
            ({"command": "x", "environment": {"Ä": ""}}, {"environment"}),
            ({"command": "x", "environment": {"A\n": ""}}, {"environment"}),
            ({"command": "x", "environment": {"FOO": 1}}, {"environment.FOO"}),
            ({"command": "x", "environment": {"FOO": "\0", "BAR": "\udcff"}}, {"environment.FOO", "environment.BAR"}),
            ({"command": "x", "environment": {"A": "x" * (MAX_STRING_BYTES - 2)}}, {"environment.A"}),
            ({"command": "x", "cwd": "/", "Command": "y"}, {"cwd", "Command"}),
            ({"command": 1, "timeout": 2, "environment": 3}, {"command", "timeout", "environment"}),
        ],
    )
    def test_refuses_and_names_the_fields(self, payload: dict[str, Any], fields: set[str]) -> None:
        assert problems(payload) == fields

    def test_names_a_bad_variable_without_writing_it_raw(self) -> None:
        with pytest.raises(PayloadError) as caught:
            ShellExecutor().validate({"command": "x", "environment": {"\ud800\0": ""}})
        assert caught.value.problems["environment"].isascii()

    json = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    )

    @settings(deadline=None)
    @given(
        st.dictionaries(
            st.sampled_from(["command", "argv", "workingDirectory", "environment", "else"]), json, max_size=4
        )
    )
    def test_any_json_is_taken_or_refused_with_reasons(self, payload: dict[str, Any]) -> None:
        problems(payload)


class TestSwitches:
    def execute(self, payload: dict[str, Any], **environ: str) -> Outcome:
        executor = ShellExecutor(config=conf.load(environ))
        deadline = time.monotonic() + 20
        execution = Execution(uuid4(), 1, "SHELL", payload, timedelta(seconds=20), "c", deadline=deadline)
        try:
            return executor.execute(execution)
        finally:
            executor.close()

    def assert_refused(self, outcome: Outcome, *words: str) -> None:
        assert outcome.status is ExecutionStatus.FAILED
        assert outcome.error_code is ErrorCode.TASK_FAILED
        assert not outcome.retryable
        assert all(word in (outcome.error_message or "") for word in words)

    def test_runs_nothing_when_shell_tasks_are_off(self) -> None:
        self.assert_refused(self.execute({"command": "true"}, SHELL_TASKS_ENABLED="false"), "SHELL_TASKS_ENABLED")

    @pytest.mark.parametrize("payload", [{"command": "true"}, {"argv": ["/bin/true"]}, {"argv": ["sh", "true"]}])
    def test_runs_only_listed_programs_when_there_is_a_list(self, payload: dict[str, Any]) -> None:
        self.assert_refused(self.execute(payload, SHELL_ALLOWED_COMMANDS="true,/bin/echo"), "SHELL_ALLOWED_COMMANDS")

    def test_lets_no_variable_turn_a_listed_program(self) -> None:
        payload = {"argv": ["true"], "environment": {"PATH": "/tmp", "FINE": "x"}}
        self.assert_refused(self.execute(payload, SHELL_ALLOWED_COMMANDS="true"), "SHELL_ALLOWED_ENVIRONMENT", "FINE")

    def test_runs_a_listed_program(self) -> None:
        payload = {"argv": ["sh", "-c", "exit $A"], "environment": {"A": "0"}}
        outcome = self.execute(payload, SHELL_ALLOWED_COMMANDS="sh,/bin/echo", SHELL_ALLOWED_ENVIRONMENT="A")
        assert outcome.status is ExecutionStatus.SUCCESS

    def test_starts_nothing_that_was_stopped_before(self) -> None:
        executor = ShellExecutor(config=conf.load({}))
        execution = Execution(uuid4(), 1, "SHELL", {"command": "true"}, timedelta(seconds=1), "c")
        execution.stop(StopReason.CANCEL)
        assert executor.execute(execution).status is ExecutionStatus.CANCELLED
        assert executor.launcher.pid is None
