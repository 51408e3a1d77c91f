"""What the API takes, refuses and says about labels that tasks require."""

from __future__ import annotations

import pytest

from tasks_app import creating
from tasks_app.models import Task, TaskNeeds
from tests.support.api import Api, fields_of

GPU = {"gpu": "a100", "zone": ["a", "b"]}


class TestRequiredLabels:
    def test_come_back_as_they_were_sent(self, api: Api) -> None:
        task = api.post("/tasks", {"type": "DUMMY", "requiredLabels": GPU}).json()
        assert task["requiredLabels"] == GPU
        assert TaskNeeds.objects.get().labels == {"gpu": ["a100"], "zone": ["a", "b"]}

    @pytest.mark.parametrize(
        ("required", "named"),
        [
            ([], "requiredLabels"),
            ({str(n): "v" for n in range(9)}, "requiredLabels"),
            ({"gpu": []}, "requiredLabels.gpu"),
            ({"gpu": "a,b"}, "requiredLabels.gpu"),
            ({"gpu": 1, "zone": "a"}, "requiredLabels.gpu"),
        ],
    )
    def test_that_no_worker_can_have_are_refused_by_name(self, api: Api, required: object, named: str) -> None:
        body = {"type": "DUMMY", "requiredLabels": required}
        assert fields_of(api.post("/tasks", body)) == {named}
        [bad, good] = api.post("/tasks/bulk", {"tasks": [body, {"type": "DUMMY"}]}).json()["items"]
        assert [error["field"] for error in bad["errors"]] == [named]
        assert "id" in good
        task = Task.objects.get()
        assert fields_of(api.patch(f"/tasks/{task.pk}", {"requiredLabels": required})) == {named}

    def test_beyond_the_bound_are_refused_by_name(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(creating, "MOST_NEEDS", 1)
        task = api.post("/tasks", {"type": "DUMMY", "requiredLabels": GPU}).json()
        other = {"requiredLabels": {"gpu": "t4"}}
        assert fields_of(api.post("/tasks/bulk", {"tasks": [{"type": "DUMMY"} | other]})) == {"requiredLabels"}
        assert api.post("/tasks", {"type": "DUMMY", "requiredLabels": GPU}).status_code == 201
        assert TaskNeeds.objects.count() == 1
        assert Task.objects.get(pk=task["id"]).needs_id == TaskNeeds.objects.get().pk

    def test_of_a_schedule_are_those_of_its_tasks(self, api: Api) -> None:
        template = {"type": "DUMMY", "requiredLabels": GPU}
        schedule = api.post(
            "/schedules", {"name": "s", "cron": "0 0 1 1 *", "timezone": "UTC", "task": template}
        ).json()
        assert api.post(f"/schedules/{schedule['id']}/trigger").status_code == 201
        assert Task.objects.get().needs_id == TaskNeeds.objects.get().pk

    def test_that_no_worker_has_are_why_a_task_waits(self, api: Api) -> None:
        task = api.post("/tasks", {"type": "DUMMY", "requiredLabels": GPU}).json()
        assert "NO_LIVE_WORKER" in {reason["code"] for reason in api.get(f"/tasks/{task['id']}/why").json()["reasons"]}
