"""Schedules that make batches, as callers and people meet them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from access_app.http.times import show_instant
from schedules_app import manual_runs
from schedules_app.batch_templates import batch_id_of
from schedules_app.firing_rules import FireState
from schedules_app.manual_runs import CreatedBatch
from schedules_app.models import Schedule, ScheduleFire
from tests.factories import make_batch, make_key
from tests.support.api import Api
from tests.support.scheduled import FAN_IN, ONE, batch_schedule, batches_of
from workflows_app.models import Batch


class TestApi:
    """What callers and people see of them."""

    BODY: dict[str, Any] = {"name": "nightly", "cron": "0 1 * * *", "batch": FAN_IN}

    def test_takes_a_batch_instead_of_a_task_and_shows_it_as_it_came(self, db: None) -> None:
        api = Api(make_key())
        made = api.post("/schedules", self.BODY).json()
        assert (made["task"], made["batch"]) == (None, FAN_IN)
        copy = api.post(f"/schedules/{made['id']}/clone", {"name": "copy"}).json()
        assert (copy["batch"], copy["enabled"]) == (FAN_IN, False)
        changed = api.patch(f"/schedules/{made['id']}", {"batch": ONE, "task": None}).json()
        assert (changed["batch"], changed["version"]) == (ONE, 2)
        back = api.patch(f"/schedules/{made['id']}", {"task": {"type": "DUMMY"}}).json()
        assert (back["batch"], back["task"]["type"]) == (None, "DUMMY")
        again = api.patch(f"/schedules/{made['id']}", {"batch": FAN_IN}).json()
        assert (again["batch"], again["task"]) == (FAN_IN, None)

    @pytest.mark.parametrize(
        ("more", "fields"),
        [
            ({"task": {"type": "DUMMY"}}, {"batch"}),
            ({"batch": None}, {"batch"}),
            ({"batch": 5}, {"batch"}),
            ({"batch": {}}, {"batch.name", "batch.tasks"}),
            ({"batch": FAN_IN | {"tasks": [{"type": "DUMMY", "dependsOn": ["x"]}]}}, {"batch.tasks.0.dependsOn"}),
            (
                {"batch": ONE | {"onComplete": {"type": "DUMMY", "approval": {"of": "group:none"}}}},
                {"batch.onComplete.approval.of"},
            ),
            (
                {"batch": {"name": "b", "tasks": [{"type": "DUMMY", "callback": {"endpoint": "none"}}]}},
                {"batch.tasks.0.callback.endpoint"},
            ),
            ({"cron": 5, "batch": {"name": 5}}, {"cron", "batch.name", "batch.tasks"}),
        ],
    )
    def test_names_every_bad_field(self, db: None, more: dict[str, Any], fields: set[str]) -> None:
        response = Api(make_key()).post("/schedules", self.BODY | more)
        assert {error["field"] for error in response.json()["errors"]} == fields
        assert not Schedule.objects.exists()

    def test_needs_the_scopes_of_all_that_runs(self, db: None) -> None:
        shell = {"type": "SHELL", "payload": {"command": "true"}}
        admin, plain = Api(make_key()), Api(make_key("schedules:read", "schedules:write", "tasks:write"))
        for batch in ({"name": "b", "tasks": [shell]}, ONE | {"onFailure": shell}):
            assert plain.post("/schedules", self.BODY | {"batch": batch}).status_code == 403
            pk = admin.post("/schedules", self.BODY | {"batch": batch}).json()["id"]
            for path, body in (("trigger", None), ("clone", {"name": "c"}), ("resume", None)):
                assert plain.post(f"/schedules/{pk}/{path}", body).status_code == 403
            assert plain.patch(f"/schedules/{pk}", {"batch": ONE}).status_code == 403
            admin.delete(f"/schedules/{pk}")
        assert plain.post("/schedules", self.BODY).status_code == 403  # it takes a result, and may send it anywhere
        assert plain.post("/schedules", self.BODY | {"batch": ONE}).status_code == 201

    def test_a_trigger_that_is_sent_again_finds_no_batch_that_is_gone(self, db: None) -> None:
        api, schedule = Api(make_key()), batch_schedule(due=0)
        path, key = f"/schedules/{schedule.pk}/trigger", {"Idempotency_Key": "k"}
        assert api.send("POST", path, **key).status_code == 201
        assert (api.send("POST", path, **key).status_code, len(batches_of(schedule))) == (200, 1)
        Batch.objects.all().delete()
        assert api.send("POST", path, **key).status_code == 404

    def test_shows_no_payload_to_who_may_not_read(self, db: None) -> None:
        key = make_key("schedules:write", "tasks:read")
        assert "http://h/" not in Api(key).post("/schedules", self.BODY).content.decode()

    def test_a_trigger_returns_the_batch_and_a_backfill_names_them(self, db: None) -> None:
        api, schedule = Api(make_key()), batch_schedule(FAN_IN, due=0)
        response = api.post(f"/schedules/{schedule.pk}/trigger")
        [batch] = batches_of(schedule)
        assert (response.status_code, response["Location"]) == (201, f"/batches/{batch.pk}")
        assert response.json()["id"] == str(batch.pk)
        assert response.json()["scheduleId"] == str(schedule.pk)
        assert api.get(f"/schedules/{schedule.pk}/fires").json()["content"][0]["batchId"] == str(batch.pk)
        [found] = api.get(f"/batches?scheduleId={schedule.pk}").json()["content"]
        assert found["id"] == str(batch.pk)
        missed = schedule.last_slot
        ScheduleFire.objects.create(schedule_id=schedule.pk, slot=missed, due_at=missed, state=FireState.MISSED)
        window = {"from": show_instant(missed), "to": "2099-01-01T00:00:00Z"}
        filled = api.post(f"/schedules/{schedule.pk}/backfill", window).json()
        made = batch_id_of(schedule.pk, missed)
        assert filled["content"] == [{"slot": show_instant(missed), "taskId": None, "batchId": str(made)}]
        assert {each.pk for each in batches_of(schedule)} == {batch.pk, made}
        assert api.post(f"/schedules/{schedule.pk}/backfill", window).json()["created"] == 0
        simulated = {"schedule": {"cron": "0 * * * *", "batch": ONE}, "from": "2030-01-01T00:00:00Z",
                     "to": "2030-01-01T02:00:00Z"}  # fmt: skip
        assert len(api.post("/schedules/simulate", simulated).json()["slots"]) == 3


@pytest.mark.django_db
class TestPages:
    def test_say_how_many_batches_failed(self, staff: Client) -> None:
        schedule = batch_schedule(due=0)
        for _ in range(2):
            make_batch(schedule_id=schedule.pk, status="FAILED")
        for page in ("", f"{schedule.pk}/change/"):
            assert "Its latest 2 batches failed." in staff.get(f"/admin/schedules_app/schedule/{page}").content.decode()

    def test_a_form_makes_one_and_its_page_leads_to_its_batches(self, staff: Client) -> None:
        form = {
            "name": "nightly", "enabled": "on", "repeat": "cron", "cron": "0 1 * * *", "timezone": "UTC",
            "jitter_seconds": "0", "misfire_policy": "run_once", "misfire_max_runs": "10", "overlap": "skip",
            "misfire_grace_seconds": "60", "dst_gap": "run_after", "dst_fold": "once", "makes": "batch",
        }  # fmt: skip
        bad = staff.post("/admin/schedules_app/schedule/add/", form | {"batch": json.dumps(FAN_IN | {"tasks": []})})
        assert (bad.status_code, "tasks: must be a list of 1 to 1,000 tasks" in bad.content.decode()) == (422, True)
        for text in ("5", "[]", "null", "", "{", '"x"', '{"tasks": [[]], "callback": 7}'):
            refused = staff.post("/admin/schedules_app/schedule/add/", form | {"batch": text, "callback": text})
            assert refused.status_code == 422
        assert staff.post("/admin/schedules_app/schedule/add/", form | {"batch": json.dumps(FAN_IN)}).status_code == 302
        schedule = Schedule.objects.get()
        assert (schedule.task, schedule.batch) == (None, FAN_IN)
        edit = f"/admin/schedules_app/schedule/{schedule.pk}/edit/"
        assert "&quot;etl&quot;" in staff.get(edit).content.decode()
        kept = form | {"cron": "0 2 * * *", "version": "1", "batch": json.dumps(FAN_IN, indent=2, ensure_ascii=False)}
        assert staff.post(edit, kept).status_code == 302
        made = manual_runs.trigger_schedule(schedule.pk, actor="me")
        assert isinstance(made, CreatedBatch)
        page = staff.get(f"/admin/schedules_app/schedule/{schedule.pk}/change/").content.decode()
        assert "The batch it makes" in page
        assert f"/admin/workflows_app/batch/{made.id}/change/" in page
        assert f"batch/?schedule={schedule.pk}" in page
        assert "a batch" in staff.get("/admin/schedules_app/schedule/").content.decode()
        batches = staff.get(f"/admin/workflows_app/batch/?schedule={schedule.pk}").content.decode()
        assert str(made.id) in batches
        fires = staff.get("/admin/schedules_app/schedulefire/").content.decode()
        assert str(made.id) in fires
