"""How an approval is written, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from access_app.refusals import InvalidInput
from access_app.rights.approvers import problem_of_approvers
from tasks_app.approvals import MAX_APPROVAL_SECONDS, read_approval
from tasks_app.fields import NewTask
from tasks_app.new_tasks import InvalidTask, check_task

ANY = {"of": "scope:admin"}


class TestReadApproval:
    def test_keeps_it_as_it_came(self) -> None:
        full = {"of": "group:Release", "timeoutSeconds": 1, "onTimeout": "run", "note": "n", "allowRequester": True}
        assert read_approval(full) == full

    @pytest.mark.parametrize(
        ("more", "field"),
        [
            ({"of": None}, "of"),
            ({"of": "admin"}, "of"),
            ({"of": "scope:nothing"}, "of"),
            ({"of": "group:"}, "of"),
            ({"of": "group:a\nb"}, "of"),
            ({"of": "group:" + "x" * 151}, "of"),
            ({"timeoutSeconds": 0}, "timeoutSeconds"),
            ({"timeoutSeconds": True}, "timeoutSeconds"),
            ({"timeoutSeconds": MAX_APPROVAL_SECONDS + 1}, "timeoutSeconds"),
            ({"timeoutSeconds": 1, "onTimeout": "approve"}, "onTimeout"),
            ({"onTimeout": "run"}, "onTimeout"),
            ({"note": "a\x1bb"}, "note"),
            ({"note": 7}, "note"),
            ({"allowRequester": "yes"}, "allowRequester"),
            ({"off": "scope:admin"}, "off"),
        ],
    )
    def test_names_what_is_wrong(self, more: dict[str, Any], field: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            read_approval({**ANY, **more})
        assert refused.value.problems.keys() == {field}

    @pytest.mark.parametrize("value", [None, "scope:admin", [], 7])
    def test_takes_objects_only(self, value: Any) -> None:
        with pytest.raises(ValueError, match="must be an object"):
            read_approval(value)

    def test_says_what_scopes_there_are(self) -> None:
        assert "tasks:write" in str(problem_of_approvers("scope:deploy"))


class TestCheckTask:
    @pytest.mark.parametrize("more", [{"unique_key": "k"}, {"concurrency_key": "k", "on_busy": "skip"}])
    def test_lets_nothing_take_the_place_of_what_is_approved(self, more: dict[str, Any]) -> None:
        with pytest.raises(InvalidTask) as refused:
            check_task(NewTask(type="DUMMY", approval=ANY, **more))
        assert refused.value.problems.keys() == {"approval"}
