"""The resource ``/queues`` (see what is paused, pause, resume; every change is audited), and why a task waits."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from access_app.http.base import ApiView, caller_of, content, uuid_or_404
from access_app.http.errors import Answers
from access_app.http.parsers import empty_body, optional_json_body
from access_app.http.problems import Problem
from access_app.rights import Action
from flow_app import queues
from flow_app.api import inputs
from flow_app.api.outputs import queue_json, reason_json
from flow_app.models import Queue
from flow_app.why import why
from tasks_app import selectors
from tasks_app.new_tasks import QUEUE_NAME


class QueueApiView(ApiView):
    """What every view of queues shares."""

    answers: ClassVar[Answers] = (
        (Queue.DoesNotExist, lambda error: Problem.not_found("Nobody has paused or configured a queue of this name.")),
    )


class QueueList(QueueApiView):
    actions = {"GET": Action.QUEUE_READ}

    def get(self, request: Request) -> Response:
        return content([queue_json(queue) for queue in Queue.objects.all()])


class QueuePause(QueueApiView):
    actions = {"POST": Action.QUEUE_PAUSE}

    def post(self, request: Request, name: str) -> Response:
        _check_name(name)
        body = optional_json_body(request, limit=settings.MAX_BODY)
        reason, until = inputs.read_pause(body, timezone.now())
        queue = queues.pause_queue(name, actor=caller_of(request).name, reason=reason, until=until)
        return Response(queue_json(queue))


class QueueResume(QueueApiView):
    actions = {"POST": Action.QUEUE_RESUME}

    def post(self, request: Request, name: str) -> Response:
        _check_name(name)
        empty_body(request)
        return Response(queue_json(queues.resume_queue(name, actor=caller_of(request).name)))


class TaskWhy(ApiView):
    actions = {"GET": Action.TASK_READ}

    def get(self, request: Request, task_id: str) -> Response:
        task = selectors.task_of(uuid_or_404(task_id, "task"))
        return Response({"running": task.status == "RUNNING", "reasons": [reason_json(each) for each in why(task)]})


def _check_name(name: str) -> None:
    if not QUEUE_NAME.fullmatch(name):
        raise Problem.not_found("There is no queue of this name, and there cannot be one.")
