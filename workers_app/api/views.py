"""What may be asked of a worker over HTTP: to drain."""

from __future__ import annotations

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from access_app.http.problems import Problem
from access_app.http.viewsets import ApiViewSet
from access_app.rights import Action
from tasks_app.states import WorkerState
from workers_app import heartbeats


class Workers(ApiViewSet):
    noun = "worker"
    lookup_url_kwarg = "worker_id"
    problems = ((heartbeats.WorkerNotFound, lambda error: Problem.not_found("There is no worker with this id.")),)
    actions = {"drain": Action.WORKER_DRAIN}

    @action(detail=True, methods=["post"])
    def drain(self, request: Request, worker_id: str) -> Response:
        """Finish what it runs, take nothing new, stop. Accepted: the worker hears of it with its next beat."""
        pk = self.pk(worker_id)
        self.empty_body()
        heartbeats.request_drain(pk, actor=self.caller.name)
        return self.shown({"workerId": str(pk), "state": WorkerState.DRAINING}, status=202)
