"""What may be asked of a worker over HTTP: to drain."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from access_app.http.base import ApiView, caller_of, uuid_or_404
from access_app.http.parsers import empty_body
from access_app.http.problems import Problem
from access_app.rights import Action
from tasks_app.states import WorkerState
from workers_app import heartbeats


class WorkerDrain(ApiView):
    """Finish what it runs, take nothing new, stop. Accepted: the worker is told with its next beat."""

    actions = {"POST": Action.WORKER_DRAIN}

    def post(self, request: Request, worker_id: str) -> Response:
        pk = uuid_or_404(worker_id, "worker")
        empty_body(request)
        try:
            heartbeats.request_drain(pk, actor=caller_of(request).name)
        except heartbeats.WorkerNotFound:
            raise Problem.not_found("There is no worker with this id.") from None
        return Response({"workerId": str(pk), "state": WorkerState.DRAINING}, status=202)
