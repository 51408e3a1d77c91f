"""The resources ``/queues`` and ``/targets``, every change of which is audited, and why a task waits."""

from __future__ import annotations

from django.utils import timezone
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from access_app.http.pagination import COUNTED, Shelf
from access_app.http.problems import Problem
from access_app.http.viewsets import ApiViewSet
from access_app.rights import Action
from flow_app import figures, queues, targets
from flow_app.api import inputs, outputs
from flow_app.api.filters import TargetFilters
from flow_app.api.outputs import queue_json, queue_page, reason_json
from flow_app.api.queries import QueuesQuery
from flow_app.models import Queue, Target
from tasks_app import selectors
from tasks_app.executors.base import JsonObject
from tasks_app.fields import QUEUE_NAME
from tasks_app.reasons import reasons_for


class Queues(ApiViewSet):
    noun = "queue"
    lookup_url_kwarg = "name"
    problems = (
        (Queue.DoesNotExist, lambda error: Problem.not_found("Nobody has paused or configured a queue of this name.")),
    )
    actions = {
        "list": Action.QUEUE_READ,
        "retrieve": Action.QUEUE_READ,
        "partial_update": Action.QUEUE_EDIT,
        "pause": Action.QUEUE_PAUSE,
        "resume": Action.QUEUE_RESUME,
    }

    parameters = {"list": QueuesQuery}

    def list(self, request: Request) -> Response:
        page, size = self.query()["page"], self.query()["size"]
        names = figures.find_queues(most=max(COUNTED, (page + 1) * size) + 1)
        asked = names[page * size : (page + 1) * size]
        measured = figures.list_figures(asked)
        content = [queue_json(queue, measured[queue.name]) for queue in figures.rows_of(asked)]
        return Response(queue_page(content, page=page, size=size, total=len(names)))

    def retrieve(self, request: Request, name: str) -> Response:
        """Never 304: the version is that of pause and rules, and figures change without it."""
        check_name(name)
        return self._shown(queues.queue_of(name))

    def partial_update(self, request: Request, name: str) -> Response:
        check_name(name)
        versions = self.versions()
        return self._shown(queues.edit_queue(name, self.body(), actor=self.caller.name, versions=versions))

    def _shown(self, queue: Queue) -> Response:
        return self.shown(_measured(queue), version=queue.version)

    @action(detail=True, methods=["post"])
    def pause(self, request: Request, name: str) -> Response:
        check_name(name)
        reason, until = inputs.read_pause(self.optional_body(), timezone.now())
        return self._shown(queues.pause_queue(name, actor=self.caller.name, reason=reason, until=until))

    @action(detail=True, methods=["post"])
    def resume(self, request: Request, name: str) -> Response:
        check_name(name)
        rate = inputs.read_resume(self.optional_body())
        return self._shown(queues.resume_queue(name, actor=self.caller.name, rate=rate))


class Targets(ApiViewSet):
    noun = "target"
    lookup_url_kwarg = "host"
    problems = ((Target.DoesNotExist, lambda error: Problem.not_found("This host has no rules.")),)
    parameters = {"list": TargetFilters}
    actions = {
        "list": Action.TARGET_READ,
        "retrieve": Action.TARGET_READ,
        "update": Action.TARGET_EDIT,
        "destroy": Action.TARGET_EDIT,
    }

    def list(self, request: Request) -> Response:
        return self.page(TargetFilters(request.GET, Target.objects.all()), Shelf(outputs.target_items))

    def retrieve(self, request: Request, host: str) -> Response:
        target = Target.objects.get(host=_host(host))
        return self.unchanged(target.version) or self._shown(target)

    def update(self, request: Request, host: str) -> Response:
        host, versions, rules = _host(host), self.versions(), inputs.read_target(self.body())
        target, created = targets.put_target(host, rules, actor=self.caller.name, versions=versions)
        return self._shown(target, status=201 if created else 200)

    def destroy(self, request: Request, host: str) -> Response:
        versions = self.versions()
        self.empty_body()
        targets.delete_target(_host(host), actor=self.caller.name, versions=versions)
        return Response(status=204)

    def _shown(self, target: Target, *, status: int = 200) -> Response:
        return self.shown(outputs.target_json(target), version=target.version, status=status)


class Waits(ApiViewSet):
    """What tasks wait for."""

    noun = "task"
    lookup_url_kwarg = "task_id"
    actions = {"why": Action.TASK_READ}

    @action(detail=True)
    def why(self, request: Request, task_id: str) -> Response:
        task = selectors.task_of(self.pk(task_id))
        return self.shown(
            {"running": task.status == "RUNNING", "reasons": [reason_json(each) for each in reasons_for(task)]}
        )


def _host(text: str) -> str:
    """The host in a path, as tasks have it."""
    if (host := targets.named(text)) is None:
        raise Problem.not_found("There is no host of this name, and there cannot be one.")
    return host


def _measured(queue: Queue) -> JsonObject:
    return queue_json(queue, figures.measure_queues([queue.name])[queue.name])


def check_name(name: str) -> None:
    """Raise `Problem` for what no queue can be called."""
    if not QUEUE_NAME.fullmatch(name):
        raise Problem.not_found("There is no queue of this name, and there cannot be one.")
