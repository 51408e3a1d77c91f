"""The resource ``/queues`` (see, pause, resume, give rules; every change is audited), and why a task waits."""

from __future__ import annotations

from django.utils import timezone
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from access_app.http.problems import Problem
from access_app.http.viewsets import ApiViewSet
from access_app.rights import Action
from flow_app import queues
from flow_app.api import inputs
from flow_app.api.outputs import queue_json, reason_json
from flow_app.models import Queue
from flow_app.why import why
from tasks_app import selectors
from tasks_app.fields import QUEUE_NAME


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

    def list(self, request: Request) -> Response:
        return self.listed([queue_json(queue) for queue in Queue.objects.all()])

    def retrieve(self, request: Request, name: str) -> Response:
        _check_name(name)
        queue = queues.queue_of(name)
        return self.unchanged(queue.version) or self._shown(queue)

    def partial_update(self, request: Request, name: str) -> Response:
        _check_name(name)
        versions = self.versions()
        return self._shown(queues.edit_queue(name, self.body(), actor=self.caller.name, versions=versions))

    def _shown(self, queue: Queue) -> Response:
        return self.shown(queue_json(queue), version=queue.version)

    @action(detail=True, methods=["post"])
    def pause(self, request: Request, name: str) -> Response:
        _check_name(name)
        reason, until = inputs.read_pause(self.optional_body(), timezone.now())
        queue = queues.pause_queue(name, actor=self.caller.name, reason=reason, until=until)
        return self.shown(queue_json(queue))

    @action(detail=True, methods=["post"])
    def resume(self, request: Request, name: str) -> Response:
        _check_name(name)
        self.empty_body()
        return self.shown(queue_json(queues.resume_queue(name, actor=self.caller.name)))


class Waits(ApiViewSet):
    """What tasks wait for."""

    noun = "task"
    lookup_url_kwarg = "task_id"
    actions = {"why": Action.TASK_READ}

    @action(detail=True)
    def why(self, request: Request, task_id: str) -> Response:
        task = selectors.task_of(self.pk(task_id))
        return self.shown({"running": task.status == "RUNNING", "reasons": [reason_json(each) for each in why(task)]})


def _check_name(name: str) -> None:
    if not QUEUE_NAME.fullmatch(name):
        raise Problem.not_found("There is no queue of this name, and there cannot be one.")
