"""Tokens of attempts: only ours are read, by whichever key made them; what they may do; results without them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from access_app.masking import MASK
from access_app.rights import Action
from tasks_app.task_tokens import LONGEST, Fence, TaskCaller, caller_of, make_token, without

FENCE = Fence(UUID("01a22fb8-6d21-7b62-8c3e-5d6f1a2b3c4d"), 3, datetime(2030, 1, 31, 6, 0, 0, 17, UTC))
ALLOWED = {Action.BATCH_ADD, Action.TASK_INPUTS, Action.TASK_PROGRESS}


class TestCallerOf:
    @pytest.mark.parametrize(
        "fence",
        [
            FENCE,
            Fence(UUID(int=2**128 - 1), 2**31 - 1, datetime(2999, 12, 31, 23, 59, 59, 999_999, UTC)),
            FENCE._replace(started_at=datetime.fromisoformat("2030-01-31 08:00:00.12+02")),
        ],
    )
    def test_is_the_task_that_the_token_was_made_for(self, fence: Fence) -> None:
        token = make_token(fence)
        caller = caller_of(token)
        assert caller is not None
        assert (caller.fence, caller.name, caller.scope) == (fence, f"task:{fence.task_id}", None)
        assert len(token) <= LONGEST

    def test_takes_nothing_that_was_changed(self) -> None:
        token = make_token(FENCE)
        parts = token.split(".")
        others = [
            make_token(FENCE._replace(attempt=4)),
            make_token(FENCE._replace(task_id=UUID(int=1))),
            make_token(FENCE._replace(started_at=FENCE.started_at + timedelta(microseconds=1))),
        ]
        for other in others:
            assert caller_of(".".join([*other.split(".")[:3], parts[3]])) is None
        for place in range(len(token)):
            assert caller_of(token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]) is None, place

    @pytest.mark.parametrize(
        "change",
        [
            lambda token: token + "A",
            lambda token: token + "\n",
            lambda token: token[:-1],
            lambda token: token.upper(),
            lambda token: token.replace(".3.", ".03."),
            lambda token: token.replace(".3.", ".٣."),
            lambda token: token.replace(".3.", "..3."),
            lambda token: "tst_",
            lambda token: "tst_...",
            lambda token: "tst_" + "9" * 10**6,
            lambda token: token + "." * 10**6,
        ],
    )
    def test_takes_no_other_form(self, change: Any) -> None:
        assert caller_of(change(make_token(FENCE))) is None

    def test_takes_those_of_keys_that_are_listed_yet(self, settings: Any) -> None:
        token = make_token(FENCE)
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
        settings.SECRET_KEY = "another one"
        assert caller_of(token) is not None
        assert make_token(FENCE) != token
        settings.SECRET_KEY_FALLBACKS = []
        assert caller_of(token) is None

    def test_takes_those_of_the_key_that_is_for_them(self, settings: Any) -> None:
        old = make_token(FENCE)
        settings.TASK_TOKEN_KEY = "k" * 32
        token = make_token(FENCE)
        assert caller_of(old) is None
        settings.TASK_TOKEN_KEY = f"{'n' * 32}, {'k' * 32}"
        assert caller_of(token) is not None
        newer = make_token(FENCE)
        settings.TASK_TOKEN_KEY = "n" * 32
        assert (caller_of(token), caller_of(newer) is None) == (None, False)
        settings.TASK_TOKEN_KEY = "k" * 32
        settings.SECRET_KEY = "that of a process which signs nothing"
        assert caller_of(token) is not None
        assert make_token(FENCE) == token


class TestTaskCaller:
    def test_may_do_three_things(self) -> None:
        assert {action for action in Action if TaskCaller(FENCE).may(action)} == ALLOWED

    def test_has_tasks_run_that_need_a_scope_only_if_its_own_needs_it(self) -> None:
        assert TaskCaller(FENCE).refusal(Action.BATCH_ADD, "DUMMY") is None
        assert not TaskCaller(FENCE).may(Action.BATCH_ADD, "SHELL")
        assert not TaskCaller(FENCE, "another:scope").may(Action.BATCH_ADD, "SHELL")
        assert TaskCaller(FENCE, "tasks:shell").may(Action.BATCH_ADD, "SHELL")

    def test_says_once_what_it_may_not(self) -> None:
        assert TaskCaller(FENCE).refusal(Action.QUEUE_READ) == "A task token may not do this"


class TestWithout:
    def test_masks_it_wherever_it_stands(self) -> None:
        token = make_token(FENCE)
        result = {"stdout": f"T={token}\n", "headers": {token: [token, 1, None]}, "exitCode": 0}
        assert without(result, token) == {"stdout": f"T={MASK}\n", "headers": {MASK: [MASK, 1, None]}, "exitCode": 0}
