"""Every field of a task, walked through every way in and out of it: what is in the table is in all of them.

A new field needs no test here. Its value is made from what the OpenAPI document says of it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

import pytest
from django.contrib.auth.models import User
from django.test import Client

from scheduler_project.openapi import document
from schedules_app.admin.schedule_form import ScheduleForm
from tasks_app.admin.new_task import NewTaskForm, TaskForm, asked_for, show_problems
from tasks_app.api.openapi.types import EVERY
from tasks_app.fields import ASKED, FIELDS, KEPT, OF_ATTEMPT, REQUIRED, TEMPLATE, Asked
from tasks_app.inserting import COLUMNS
from tasks_app.models import Task
from tests.integration.schedules.test_admin_actions import NEW
from tests.support.api import Api, fields_of

SCHEMAS: dict[str, Any] = document()["components"]["schemas"]
#: As the form of a new task sends it: every field with its default.
FORM = {row.column: str(row.default) for row in ASKED if row.form and row.default is not None}
FORM |= {"type": "DUMMY", "payload": "{}"}

#: What each form does not ask for: a retry policy, and what a task waits for, are for the API, a template has no times
#: and is no creation.
LEFT_OUT: Final[dict[type[TaskForm], set[str]]] = {
    NewTaskForm: {"retry", "ref", "depends_on", "run_if", "otherwise"},
    ScheduleForm: {
        *("retry", "schedule_at", "expires_at"),
        *("on_duplicate", "debounce_seconds", "debounce_max_seconds", "on_busy"),
        *("ref", "depends_on", "run_if", "otherwise"),
    },
}

#: But for those that only say how a task is created: what they do is in ``test_api_unique``.
KEPT_FIELDS = [row for row in ASKED if row.stored]
every_field = pytest.mark.parametrize("row", KEPT_FIELDS, ids=lambda row: row.name)


def value_of(schema: dict[str, Any]) -> Any:
    """A value of a schema, and not the one that is likely to be a default."""
    schema = next((one for one in schema.get("oneOf", schema.get("allOf", ())) if "$ref" in one), schema)
    if "$ref" in schema:
        return value_of(SCHEMAS[schema["$ref"].rpartition("/")[2]])
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][-1]
    kind = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]
    if kind == "object" and "properties" not in schema:
        return {"walked": value_of(schema["additionalProperties"]["oneOf"][0])}
    if kind == "object":
        name, inner = next(iter(schema["properties"].items()))
        return {name: value_of(inner)}
    return {"integer": schema.get("maximum"), "boolean": not schema.get("default")}.get(kind) or text_of(schema)


def text_of(schema: dict[str, Any]) -> str:
    if "examples" in schema:
        return str(schema["examples"][0])
    formats = {"date-time": "2999-01-02T03:04:05.000000Z", "uri": "https://walked.example/"}
    return formats.get(schema.get("format", ""), "walked")


def asked(row: Asked) -> dict[str, Any]:
    """A task that asks for a value of this field which is not the default."""
    value = value_of(SCHEMAS["NewDummyTask"]["properties"][row.name])
    assert value != row.default
    return {"type": "DUMMY", row.name: value}


def has(shown: dict[str, Any], body: dict[str, Any], row: Asked) -> bool:
    """Whether a task is shown with the value that was asked for; of an object, at least what was named."""
    value, wanted = shown[row.name], body[row.name]
    return value == wanted or (isinstance(wanted, dict) and wanted.items() <= (value or {}).items())


def created(api: Api, body: dict[str, Any]) -> Any:
    response = api.post("/tasks", body)
    assert response.status_code == 201, response.content
    return response.json()


def read_back(api: Api) -> Any:
    """The only task."""
    return api.get(f"/tasks/{Task.objects.get().pk}").json()


class TestTable:
    def test_has_a_column_for_each_field(self) -> None:
        columns = {column.name: column.null for column in Task._meta.get_fields() if hasattr(column, "null")}
        columns["correlation_id"] = False  # shown as the id, where none was sent
        assert {row.column: row.null for row in FIELDS}.items() <= columns.items()

    def test_names_each_field_once(self) -> None:
        names = [row.name for row in FIELDS] + list(OF_ATTEMPT)
        assert len(names) == len(set(names))

    def test_takes_its_own_defaults(self) -> None:
        for row in ASKED:
            if row.default not in (REQUIRED, None) and not row.kind.show:
                assert row.kind.read(row.default) == row.default

    def test_is_what_a_task_is_stored_with(self) -> None:
        assert {row.column for row in KEPT_FIELDS} <= set(COLUMNS)
        assert len(COLUMNS) == len(set(COLUMNS))


class TestSchema:
    @pytest.mark.parametrize("kind", EVERY)
    def test_knows_the_fields_of_every_type(self, kind: str) -> None:
        assert SCHEMAS[f"New{kind}Task"]["properties"].keys() == {row.name for row in ASKED}
        assert SCHEMAS[f"{kind}Task"]["properties"].keys() == {*(row.name for row in FIELDS), *OF_ATTEMPT}
        assert SCHEMAS[f"{kind}Template"]["properties"].keys() == {row.name for row in TEMPLATE}

    def test_knows_the_fields_of_lists_and_changes(self) -> None:
        assert SCHEMAS["TaskItem"]["properties"].keys() == {row.name for row in FIELDS if row.listed} | {"error"}
        assert SCHEMAS["TaskChanges"]["properties"].keys() == {row.name for row in ASKED if row.edit}


class TestFields:
    @every_field
    def test_are_created_and_read_back(self, api: Api, row: Asked) -> None:
        body = asked(row)
        shown = created(api, body)
        assert has(shown, body, row)
        assert read_back(api) == shown

    @every_field
    def test_are_created_in_bulk(self, api: Api, row: Asked) -> None:
        body = asked(row)
        [item] = api.post("/tasks/bulk", {"tasks": [body]}).json()["items"]
        assert "id" in item, item
        assert has(read_back(api), body, row)

    @every_field
    def test_are_in_lists_unless_they_are_large(self, api: Api, row: Asked) -> None:
        body = asked(row)
        created(api, body)
        [item] = api.get("/tasks").json()["content"]
        assert has(item, body, row) if row.listed else row.name not in item

    @every_field
    def test_may_be_null_when_there_is_no_default(self, api: Api, row: Asked) -> None:
        response = api.post("/tasks", {"type": "DUMMY", row.name: None})
        if row.default is None:
            assert response.status_code == 201, response.content
        else:
            assert fields_of(response) == {row.name}

    @every_field
    def test_are_changed_or_refused_by_name(self, api: Api, row: Asked) -> None:
        body = asked(row)
        path = f"/tasks/{created(api, {'type': 'DUMMY'})['id']}"
        response = api.patch(path, {row.name: body[row.name]})
        if row.edit:
            assert response.status_code == 200, response.content
            assert has(api.get(path).json(), body, row)
        else:
            assert fields_of(response) == {row.name}

    @every_field
    def test_are_cloned_unless_they_are_of_one_task(self, api: Api, row: Asked) -> None:
        body = asked(row)
        path = f"/tasks/{created(api, body)['id']}"
        clone = api.post(f"{path}/clone")
        assert clone.status_code == 201, clone.content
        assert has(api.get(clone["Location"]).json(), body, row) if row.cloned else not has(clone.json(), body, row)

    @every_field
    def test_are_in_templates_or_refused_by_name(self, api: Api, row: Asked) -> None:
        body = asked(row)
        response = api.post("/schedules", {"name": "walked", "cron": "0 0 1 1 *", "task": body})
        if not row.template:
            assert fields_of(response) == {f"task.{row.name}"}
            return
        assert has(response.json()["task"], body, row)
        assert api.post(f"/schedules/{response.json()['id']}/trigger").status_code == 201
        assert has(read_back(api), body, row)

    @pytest.mark.parametrize("row", [*KEPT, *OF_ATTEMPT], ids=lambda row: getattr(row, "name", row))
    def test_of_the_scheduler_are_shown_and_refused_by_name(self, api: Api, row: Any) -> None:
        name = getattr(row, "name", row)
        shown = created(api, {"type": "DUMMY"})
        assert name in shown
        assert fields_of(api.post("/tasks", {"type": "DUMMY", name: shown[name]})) == {name}
        assert fields_of(api.patch(f"/tasks/{shown['id']}", {name: shown[name]})) == {name}


class TestFormFields:
    @pytest.mark.parametrize("form", LEFT_OUT, ids=lambda form: form.__name__)
    def test_are_one_for_each_that_is_not_named_as_left_out(self, db: None, form: type[TaskForm]) -> None:
        made = form(types=["DUMMY"])
        labels = {row.column: made.fields[form.name_of(row)].label or row.label for row in made.rows}
        assert labels.keys() == {row.column for row in ASKED} - LEFT_OUT[form]
        assert all(labels[row.column].startswith(row.label) for row in made.rows)

    @pytest.mark.parametrize("name", sorted(ScheduleForm.base_fields.keys() - TaskForm.base_fields.keys()))
    def test_stand_beside_those_that_schedules_call_the_same(self, db: None, name: str) -> None:
        queue = next(row for row in TEMPLATE if row.column == "queue")
        row = replace(queue, column=name, name=name, label="Of its task")

        class Trial(ScheduleForm):
            rows = (*TaskForm.rows, row)

        plain, form = ScheduleForm(NEW, types=["DUMMY"]), Trial(NEW | {f"task_{name}": "walked"}, types=["DUMMY"])
        assert plain.is_valid(), plain.errors
        assert form.is_valid(), form.errors
        assert dict(form.sections)["Task"][-1].label == "Of its task"
        assert asked_for(form)[name] == "walked"
        assert form.cleaned_data[name] == plain.cleaned_data[name]
        show_problems(form, {name: "wrong"})
        assert dict(form.errors) == {f"task_{name}": ["wrong"]}


class TestForms:
    @pytest.fixture
    def staff(self, client: Client) -> Client:
        client.force_login(User.objects.create_superuser("maria"))
        return client

    @every_field
    def test_of_tasks_ask_for_them(self, api: Api, staff: Client, row: Asked) -> None:
        body = asked(row)
        response = staff.post("/admin/tasks_app/task/add/", FORM | sent(row, body))
        assert response.status_code == 302, response.content
        assert has(read_back(api), body, row) is row.form

    @every_field
    def test_of_schedules_ask_for_those_of_templates(self, api: Api, staff: Client, row: Asked) -> None:
        body = asked(row)
        response = staff.post("/admin/schedules_app/schedule/add/", NEW | sent(row, body, ScheduleForm))
        assert response.status_code == 302, response.content
        [schedule] = api.get("/schedules").json()["content"]
        task = api.get(f"/schedules/{schedule['id']}").json()["task"]
        assert (row.name in task) is row.template
        assert not row.template or has(task, body, row) is row.form

    @every_field
    def test_and_pages_show_them(self, api: Api, staff: Client, row: Asked) -> None:
        body = asked(row)
        page = staff.get(f"/admin/tasks_app/task/{created(api, body)['id']}/change/").content.decode()
        assert all(drawn(row, value) in page for value in values_of(body[row.name]))


def values_of(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else [value]


def drawn(row: Asked, value: Any) -> str:
    """A value as a page writes it."""
    if row.kind.show:
        return "2999-01-02 03:04:05"
    if isinstance(value, int):
        return str(value) if row.kind.document else f"{value:,}"
    return row.kind.words.get(value, value)


def sent(row: Asked, body: dict[str, Any], form: type[TaskForm] = NewTaskForm) -> dict[str, str]:
    """The value as a browser sends it."""
    value = body[row.name]
    if isinstance(value, dict):
        return {form.name_of(row): json.dumps(value)}
    return {form.name_of(row): str(value).removesuffix("Z")}
