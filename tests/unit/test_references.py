"""References in payloads: where they may stand, how they are written, and what a payload is without them."""

from __future__ import annotations

from typing import Any

import pytest

from tasks_app.executors.registry import inputs_of
from tasks_app.fields import NewTask
from tasks_app.new_tasks import InvalidTask, check_task
from tasks_app.references import MARK, MOST_REFERENCES, Kind, filled, read_references, renamed, valued

TASK = "018f0000-0000-7000-8000-000000000001"
OTHER = "018f0000-0000-7000-8000-000000000002"
FROM: dict[str, Any] = {"$from": TASK}


def problems(task_type: str, payload: dict[str, Any], *parents: str) -> dict[str, str]:
    """What is wrong with a task of this payload, which depends on others."""
    try:
        check_task(NewTask(type=task_type, payload=payload, depends_on=parents or (TASK,)))
    except InvalidTask as error:
        return error.problems
    return {}


def shell(*argv: Any, **environment: Any) -> dict[str, Any]:
    return {"argv": list(argv), "environment": environment}


def http(body: Any = None, **headers: Any) -> dict[str, Any]:
    return {"url": "http://example.com/", "body": body, "headers": headers}


class TestPlaces:
    @pytest.mark.parametrize(
        ("task_type", "payload"),
        [
            ("SHELL", shell("cat", FROM, "-", FROM)),
            ("SHELL", shell("sh", "-c", 'echo "$1"', "sh", FROM)),
            ("SHELL", shell("bash", "-eo", "pipefail", "-c", "cat", FROM)),
            ("SHELL", shell("/opt/report.sh", FROM)),
            ("SHELL", {"command": 'echo "$ROWS"', "environment": {"ROWS": FROM}}),
            ("HTTP", http(FROM, **{"X-Rows": FROM})),
            ("HTTP", http({"rows": FROM, "deep": [[{"a": FROM}]]})),
        ],
        ids=range(7),
    )
    def test_are_words_variables_headers_and_whatever_is_in_a_body(self, task_type: str, payload: Any) -> None:
        assert problems(task_type, payload) == {}

    @pytest.mark.parametrize(
        ("task_type", "payload", "field"),
        [
            ("SHELL", {"command": FROM}, "command"),
            ("SHELL", {"command": [FROM]}, "command.0"),
            ("SHELL", shell(FROM, "x"), "argv.0"),
            ("SHELL", shell("sh", "-c", FROM), "argv.2"),
            ("SHELL", shell("/bin/bash", "-lc", FROM), "argv.2"),
            ("SHELL", shell("bash", "-o", "pipefail", "-c", "--", FROM), "argv.5"),
            ("SHELL", shell("bash", "--rcfile", FROM, "-c", "true"), "argv.2"),
            ("SHELL", shell("dash", FROM), "argv.1"),
            ("SHELL", shell("env", "-i", "zsh", "-c", FROM), "argv.4"),
            ("SHELL", shell("busybox", "ash", "-c", FROM), "argv.3"),
            ("SHELL", shell("sh", *["-u"] * 5000, FROM), "argv.5001"),
            ("SHELL", shell("true", BASH_ENV=FROM), "environment.BASH_ENV"),
            ("SHELL", shell("true", LD_PRELOAD=FROM), "environment.LD_PRELOAD"),
            ("SHELL", shell("true", A={"x": FROM}), "environment.A.x"),
            ("SHELL", shell("true", [FROM]), "argv.1.0"),
            ("SHELL", {"argv": ["true"], "workingDirectory": FROM}, "workingDirectory"),
            ("SHELL", FROM, "$from"),
            ("HTTP", {"url": FROM}, "url"),
            ("HTTP", {"url": "http://example.com/", "method": FROM}, "method"),
            ("HTTP", {"url": "http://example.com/", "headers": FROM}, "headers"),
            ("HTTP", {"url": "http://example.com/", "expectedStatus": [FROM]}, "expectedStatus.0"),
            ("HTTP", FROM, "$from"),
        ],
        ids=range(22),
    )
    def test_are_no_others(self, task_type: str, payload: Any, field: str) -> None:
        found = problems(task_type, payload)
        assert list(found) == [f"payload.{field}"]
        assert found[f"payload.{field}"].startswith("takes no $from")

    def test_say_the_way_out_where_a_shell_would_run_it(self) -> None:
        [text] = problems("SHELL", {"command": FROM}).values()
        assert (
            text == "takes no $from, as a shell would run what the result says: put it into environment, or into argv"
        )

    def test_are_none_in_payloads_of_other_types(self) -> None:
        assert problems("DUMMY", {"sleepDurationMs": FROM}) == {
            "payload.sleepDurationMs": "must be a whole number from 0 to 86400000"
        }
        assert inputs_of("DUMMY", {"sleepDurationMs": FROM}) == ([], {})


class TestReferences:
    @pytest.mark.parametrize(
        ("reference", "field"),
        [
            ({"$from": 7}, "$from"),
            ({"$from": ""}, "$from"),
            ({"$from": "x" * 101}, "$from"),
            ({"$from": "nobody"}, "$from"),
            ({"$from": OTHER}, "$from"),
            ({"$from": TASK, "path": 7}, "path"),
            ({"$from": TASK, "path": "body"}, "path"),
            ({"$from": TASK, "path": "/~2"}, "path"),
            ({"$from": TASK, "path": "/" * 1001}, "path"),
            ({"$from": TASK, "default": None}, "default"),
            ({"$from": TASK, "to": 1}, "to"),
        ],
        ids=range(11),
    )
    def test_are_refused_by_the_name_of_the_field(self, reference: dict[str, Any], field: str) -> None:
        assert list(problems("SHELL", shell("echo", reference))) == [f"payload.argv.1.{field}"]

    def test_name_tasks_that_the_task_depends_on(self) -> None:
        payload = shell("echo", {"$from": OTHER}, {"$from": TASK.upper()})
        text = f"{OTHER} is not among dependsOn: name it there, too"
        assert problems("SHELL", payload) == {"payload.argv.1.$from": text}
        assert problems("SHELL", payload, TASK, OTHER) == {}

    def test_have_defaults_that_could_stand_there_themselves(self) -> None:
        reference = FROM | {"default": "a\r\nX-Admin: 1"}
        assert list(problems("HTTP", http(**{"X-A": reference}))) == ["payload.headers.X-A"]
        assert problems("HTTP", http(FROM | {"default": None}, **{"X-A": FROM | {"default": 7}})) == {}

    def test_are_counted(self) -> None:
        assert problems("HTTP", http([FROM] * MOST_REFERENCES)) == {}
        assert list(problems("HTTP", http([FROM] * (MOST_REFERENCES + 1)))) == ["payload.$from"]

    def test_are_not_looked_for_in_defaults(self) -> None:
        references, wrong = read_references({"a": FROM | {"default": {"$from": 7}}}, lambda *_: Kind.ANY)
        assert (len(references), wrong) == (1, {})

    @pytest.mark.parametrize("text", ['{"$from": 1}', "$from", '"$from":', '\\"$from":'])
    def test_are_not_seen_in_texts(self, text: str) -> None:
        """The mark is what spares tasks that take nothing a look into their payload."""
        assert MARK not in check_task(NewTask(type="SHELL", payload={"argv": ["echo", text]}))
        assert MARK in check_task(NewTask(type="SHELL", payload={"argv": ["echo", FROM]}, depends_on=(TASK,)))


class TestFilled:
    def test_puts_values_in_and_leaves_the_rest_alone(self) -> None:
        payload = http({"rows": FROM, "other": [1, FROM]})
        values = {("body", "rows"): {"$from": "a result that says so"}, ("body", "other", 1): [2]}
        assert filled(payload, values)["body"] == {"rows": {"$from": "a result that says so"}, "other": [1, [2]]}
        assert payload["body"]["rows"] is FROM


class TestValued:
    @pytest.mark.parametrize(
        ("value", "text"),
        [("a b", "a b"), (7, "7"), (1.5, "1.5"), (True, "true"), ([1, {"ä": None}], '[1,{"ä":null}]')],
    )
    def test_writes_as_json_what_is_no_text(self, value: Any, text: str) -> None:
        assert valued(value, Kind.TEXT) == text
        assert valued(value, Kind.ANY) is value

    def test_takes_null_for_no_text(self) -> None:
        with pytest.raises(ValueError, match="is null"):
            valued(None, Kind.TEXT)


class TestRenamed:
    def test_names_ids_for_refs(self) -> None:
        payload = {"body": [{"$from": "a", "default": {"$from": "a"}}, {"$from": 7}, {"$from": "b"}, "a"]}
        assert renamed(payload, {"a": TASK}) == {
            "body": [{"$from": TASK, "default": {"$from": "a"}}, {"$from": 7}, {"$from": "b"}, "a"]
        }

    def test_goes_no_deeper_than_payloads_may_be(self) -> None:
        deep: Any = FROM
        for _ in range(5000):
            deep = [deep]
        assert renamed(deep, {TASK: OTHER})
