"""docs/workflows.md is true: its requests are taken as they stand, and its example of an ETL brings what it says."""

from __future__ import annotations

import io
import json
import re
import shlex
import urllib.request
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings

from tasks_app.executors.shell_policy import environment_of
from tasks_app.models import Task, TaskProgress
from tasks_app.states import TaskStatus
from tests.factories import make_batch, make_key, make_task
from tests.support.api import Api
from tests.support.engine import Engine
from tests.support.environment_names import ROOT
from tests.support.peers import Peer, says
from tests.support.peers import response as written
from tests.support.taking import Taking
from workers_app.processes.held import Held
from workers_app.runner import execution_of, run_attempt
from workers_app.showing import show
from workflows_app.endings import settle_endings
from workflows_app.models import Batch

PAGE = (ROOT / "docs" / "workflows.md").read_text()
BASE = "https://tasks.example"
#: The task that the page depends on and does not make.
THERE = "01a22fb8-6d21-7b62-8c3e-5d6f1a2b3c4d"
ROWS = {"rows": [{"price": 17, "weight": 1}, {"price": 4, "weight": 2}]}


def calls() -> list[tuple[str, Any]]:
    """Path and body of each ``curl`` on the page, which may go over several lines."""
    found = []
    for block in re.findall(r"^    curl (.*?)(?=\n\n|\Z)", PAGE, flags=re.MULTILINE | re.DOTALL):
        words = shlex.split(block.replace("\\\n", " "))
        [address] = [word for word in words if word.startswith(BASE)]
        body = words[words.index("-d") + 1] if "-d" in words else "null"
        found.append((address.removeprefix(BASE), json.loads(body)))
    return found


def send(api: Api, path: str, body: Any, names: dict[str, str]) -> Any:
    """Send a request of the page, with what the reader puts in the place of names."""
    for name, value in names.items():
        path, body = path.replace(name, value), json.loads(json.dumps(body).replace(name, value))
    return (Api(make_key(name="approver")) if path.endswith("/approve") else api).post(path, body)


def run_all(taking: Taking, most: int = 20) -> None:
    """Start and execute whatever is due, with its inputs, until nothing is."""
    for _ in range(most):
        settle_endings(taking.engine.session)
        taking.engine.assign()
        attempts = taking.engine.start(taking.worker)
        if not attempts:
            return
        for attempt in attempts:
            outcome, execution = taking.take(attempt)
            taking.engine.finish(taking.worker, attempt, outcome or run_attempt(execution))
    raise AssertionError("there is always something due")


class TestRequests:
    def test_are_answered_as_they_stand(self, engine: Engine) -> None:
        make_task(id=UUID(THERE))
        failed = make_batch(status="FAILED")
        make_task(batch_id=failed.pk, status="FAILED")
        api, names = Api(make_key()), {"$FAILED": str(failed.pk)}
        assert len(calls()) == PAGE.count("curl ") >= 12
        for path, body in calls():
            response = send(api, path, body, names)
            assert response.status_code in (200, 201), (path, body)
            made = {"/batches": "$BATCH", "/tasks": "$DEPLOY"}.get(path)
            names |= {made: response.json()["id"]} if made else {}


class TestBatches:
    def test_the_saga_of_the_page_undoes_what_was_done_in_the_opposite_order(
        self, engine: Engine, taking: Taking
    ) -> None:
        [saga] = [body for _, body in calls() if "unreserve" in json.dumps(body)]
        made = Api(make_key()).post("/batches", saga).json()
        run_all(taking)
        found = {ref: Task.objects.get(pk=task_id) for ref, task_id in made["refs"].items()}
        assert [ref for ref, task in found.items() if task.status != TaskStatus.SUCCESS] == ["ship"]
        assert found["refund"].started_at < found["unreserve"].started_at
        assert Batch.objects.get(pk=made["id"]).status == "FAILED"

    def test_the_nightly_one_of_the_page_brings_its_report_and_no_alert(self, engine: Engine, taking: Taking) -> None:
        [nightly] = [body for path, body in calls() if path == "/schedules"]
        api = Api(make_key())
        schedule = api.post("/schedules", nightly).json()
        made = api.post(f"/schedules/{schedule['id']}/trigger").json()
        run_all(taking)
        assert Batch.objects.get(pk=made["id"]).status == "SUCCESS"
        assert list(Task.objects.filter(batch_id=None).values_list("queue", "status")) == [("reports", "SUCCESS")]


class TestTaskTokens:
    def test_fan_out_as_on_the_page(self, engine: Engine, taking: Taking, monkeypatch: pytest.MonkeyPatch) -> None:
        """The script is run as it stands, with what a worker gives it, but for its way to the API."""
        [asked] = [body for _, body in calls() if "fan_out" in json.dumps(body)]
        [script] = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
        made = Api(make_key()).post("/batches", asked).json()
        engine.assign()
        [attempt] = engine.start(taking.worker)
        [held] = [Held(attempt, execution_of(attempt))]
        show(attempt, held.execution)
        for name, value in environment_of(held.execution, {}, settings.SCHEDULER).items():
            monkeypatch.setenv(name, value)
        api = Api(held.execution.token)

        def urlopen(request: urllib.request.Request) -> io.BytesIO:
            path = request.full_url.removeprefix(BASE)
            headers = {"Idempotency_Key": key} if (key := request.get_header("Idempotency-key")) else {}
            answer = api.send(request.get_method(), path, request.data, **headers)
            assert answer.status_code in (200, 201), answer.content
            return io.BytesIO(answer.content)

        monkeypatch.setattr(urllib.request, "urlopen", urlopen)
        for _ in range(2):  # as by a second attempt
            exec(script, {})
        assert Task.objects.filter(batch_id=made["id"]).count() == 31
        assert TaskProgress.objects.values_list("percent", flat=True).get() == 100


class TestResults:
    def test_flow_through_the_etl_of_the_page(self, engine: Engine, taking: Taking) -> None:
        [etl] = [body for _, body in calls() if "warehouse" in json.dumps(body)]
        rows = json.dumps(ROWS).encode()
        with Peer(says(written(200, rows))) as shop, Peer(says(written(204))) as warehouse:
            text = json.dumps(etl).replace("https://shop.example", shop.url(""))
            body = json.loads(text.replace("https://warehouse.example", warehouse.url("")))
            made = Api(make_key()).post("/tasks/bulk?atomic=true", body)
            assert made.status_code == 201
            run_all(taking)
        assert {task.status for task in Task.objects.all()} == {TaskStatus.SUCCESS}
        [sent] = warehouse.requests
        assert json.loads(sent.body) == {"total": 21, "rows": ROWS["rows"]}
        assert sent.headers["x-source-status"] == "200"

    def test_of_what_succeeded_are_there_when_the_rest_of_a_batch_runs_again(
        self, engine: Engine, taking: Taking, tmp_path: Path
    ) -> None:
        there, api = tmp_path / "there", Api(make_key())

        def shell(script: str, *parents: str) -> dict[str, Any]:
            taken = [{"$from": parent, "path": "/stdout"} for parent in parents]
            argv = ["sh", "-c", script, "sh", *taken]
            return {"type": "SHELL", "maxRetries": 0, "payload": {"argv": argv}, "dependsOn": list(parents) or None}

        tasks = [
            shell("printf 4") | {"ref": "extract"},
            shell(f'test -e {there} && printf "$(($1 + 17))"', "extract") | {"ref": "sum"},
            shell('printf "$1 of $2"', "sum", "extract") | {"ref": "load"},
        ]
        made = api.post("/batches", {"name": "b", "tasks": tasks}).json()
        run_all(taking)
        assert api.get(f"/batches/{made['id']}").json()["status"] == "FAILED"
        there.touch()
        assert api.post(f"/batches/{made['id']}/retry", {"only": "failed"}).status_code == 200
        run_all(taking)
        assert api.get(f"/batches/{made['id']}").json()["status"] == "SUCCESS"
        load = api.get(f"/tasks/{made['refs']['load']}").json()
        assert load["result"]["stdout"] == "21 of 4"
        assert [api.get(f"/tasks/{made['refs'][ref]}").json()["attempt"] for ref in ("extract", "sum")] == [1, 2]

    def test_that_are_not_there_fail_what_takes_them(self, engine: Engine, taking: Taking) -> None:
        """The codes are those of the page."""
        parent = taking.ended()
        codes = set(re.findall(r"^\| `(INPUT_\w+)` \|", PAGE, flags=re.MULTILINE))
        assert codes == {"INPUT_MISSING", "INPUT_INVALID", "INPUT_TOO_LARGE"}
        payload = {"argv": ["echo", {"$from": str(parent), "path": "/nothing"}]}
        child = taking.engine.create(type="SHELL", payload=payload, depends_on=[str(parent)])
        run_all(taking)
        task = Api(make_key()).get(f"/tasks/{child}").json()
        assert (task["status"], task["error"]["code"], task["retryCount"]) == ("FAILED", "INPUT_MISSING", 0)


class TestSections:
    def test_are_listed_at_the_top(self) -> None:
        listed = re.findall(r"^- \[(.*?)\]\(#(.*?)\)$", PAGE.partition("\n## ")[0], flags=re.MULTILINE)
        assert [title for title, _ in listed] == re.findall(r"^## (.*)$", PAGE, flags=re.MULTILINE)
        assert all(anchor == title.lower().replace(" ", "-") for title, anchor in listed)
