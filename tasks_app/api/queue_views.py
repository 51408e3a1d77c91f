"""The resource ``/queues``: see what is paused, pause, resume. Every change is audited."""

from __future__ import annotations

from django.conf import settings
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from tasks_app import services
from tasks_app.access import Action
from tasks_app.api import inputs
from tasks_app.api.base import ApiView, caller_of, content
from tasks_app.api.outputs import queue_json
from tasks_app.api.parsers import empty_body, optional_json_body
from tasks_app.api.problems import Problem
from tasks_app.models import Queue
from tasks_app.new_tasks import QUEUE_NAME


class QueueList(ApiView):
    actions = {"GET": Action.QUEUE_READ}

    def get(self, request: Request) -> Response:
        return content([queue_json(queue) for queue in Queue.objects.all()])


class QueuePause(ApiView):
    actions = {"POST": Action.QUEUE_PAUSE}

    def post(self, request: Request, name: str) -> Response:
        _check_name(name)
        body = optional_json_body(request, limit=settings.MAX_BODY)
        reason, until = inputs.read_pause(body, timezone.now())
        queue = services.pause_queue(name, actor=caller_of(request).name, reason=reason, until=until)
        return Response(queue_json(queue))


class QueueResume(ApiView):
    actions = {"POST": Action.QUEUE_RESUME}

    def post(self, request: Request, name: str) -> Response:
        _check_name(name)
        empty_body(request)
        return Response(queue_json(services.resume_queue(name, actor=caller_of(request).name)))


def _check_name(name: str) -> None:
    if not QUEUE_NAME.fullmatch(name):
        raise Problem.not_found("There is no queue of this name, and there cannot be one.")
