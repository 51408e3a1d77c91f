"""Health and metrics over HTTP. A database that is away is a finding here (DOWN, 503), never an error."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from access_app.http.authentication import AdminSessionAuthentication
from access_app.http.problems import Problem
from access_app.http.times import show_instant
from access_app.http.viewsets import ApiViewSet
from access_app.patience import TooSlow
from access_app.rights import Action, Caller
from flow_app.demand import Demand, read_demand
from monitoring_app import health, history_api, metrics, selectors
from monitoring_app.exposition import exposition
from monitoring_app.figures import summary
from monitoring_app.health import DATABASE_ERRORS, Status
from monitoring_app.history_api import HistoryQuery
from monitoring_app.queries import DemandQuery, FiguresQuery
from monitoring_app.scrapers import ScraperAuthentication
from monitoring_app.selectors import WorkerLoad
from workers_app.recovery import recover_system

#: For what is to be known while the database is away.
WHILE_AWAY = [ScraperAuthentication, AdminSessionAuthentication]


class MonitoringViewSet(ApiViewSet):
    """What all of them share: responses no cache may keep, and a database that is slow rather than away."""

    problems = (
        (
            TooSlow,
            lambda error: Problem(503, "too-slow", "The database is there, but took too long. Ask again, or for less."),
        ),
    )

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        final = super().finalize_response(request, response, *args, **kwargs)
        final["Cache-Control"] = "no-store"
        return final


class Probes(MonitoringViewSet):
    """What a load balancer asks, which has no key."""

    authentication_classes = WHILE_AWAY
    permission_classes = []
    actions = {"live": Action.HEALTH_READ, "ready": Action.HEALTH_READ}

    def perform_authentication(self, request: Request) -> None:
        try:
            super().perform_authentication(request)
        except (APIException, *DATABASE_ERRORS):
            request.user = None  # type: ignore[assignment]
            request.auth = None  # a probe with an old key still learns whether we are ready

    @action(detail=False, authentication_classes=[])
    def live(self, request: Request) -> Response:
        """The process serves requests. Touches nothing else: a database's outage restarts no web process."""
        return self.shown({"status": Status.UP})

    @action(detail=False)
    def ready(self, request: Request) -> Response:
        """Without a key only the status; with a valid one, the checks behind it."""
        report = health.readiness()
        caller = request.auth
        seen = isinstance(caller, Caller) and caller.may(Action.HEALTH_READ)
        checks = {"checks": report.checks_json()} if seen else {}
        return self.shown({"status": report.status, **checks}, status=200 if report.is_available else 503)


class Health(MonitoringViewSet):
    authentication_classes = WHILE_AWAY
    actions = {"show": Action.HEALTH_READ}

    def show(self, request: Request) -> Response:
        report = health.health()
        body = {
            "status": report.status,
            "checks": report.checks_json(),
            "version": settings.VERSION,
            "uptimeSeconds": round(health.uptime(), 1),
        }
        return self.shown(body, status=200 if report.is_available else 503)

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, DATABASE_ERRORS):  # not even the key could be looked up, so nobody learns more
            return Response({"status": Status.DOWN}, status=503)
        return super().handle_exception(exc)


class Figures(MonitoringViewSet):
    """What workers do and have done, and system recovery."""

    actions = {
        "workers": Action.WORKER_READ,
        "metrics": Action.HEALTH_READ,
        "history": Action.HEALTH_READ,
        "demand": Action.HEALTH_READ,
        "recovery": Action.RECOVERY_RUN,
    }
    parameters = {"metrics": FiguresQuery, "history": HistoryQuery, "demand": DemandQuery}

    @action(detail=False)
    def workers(self, request: Request) -> Response:
        return self.listed([_worker(load) for load in selectors.workers()])

    @action(detail=False)
    def metrics(self, request: Request) -> Response:
        """The summary for people and scripts; Prometheus reads `Exposition`."""
        hours = self.query()["hours"]
        return self.shown(summary(selectors.execution_figures(hours), hours))

    @action(detail=False)
    def history(self, request: Request) -> Response:
        """The same step by step, from the minutes that schedulers keep."""
        asked = self.query()
        with selectors.bounded(selectors.SURVEY_TIMEOUT):
            body = history_api.read(asked)
        return self.shown(body)

    @action(detail=False)
    def demand(self, request: Request) -> Response:
        """For autoscalers: what more workers could help."""
        asked = self.query()
        with selectors.bounded(selectors.SURVEY_TIMEOUT):
            found = read_demand(
                queues=asked["queues"],
                labels=asked["labels"] or {},
                horizon=timedelta(seconds=asked["horizonSeconds"]),
            )
        return self.shown(_demand(found))

    @action(detail=False, methods=["post"])
    def recovery(self, request: Request) -> Response:
        self.empty_body()
        return self.shown(recover_system(actor=self.caller.name).to_json())


class Exposition(MonitoringViewSet):
    """Also while the database is away, to scrapers that are known."""

    authentication_classes = WHILE_AWAY
    actions = {"show": Action.HEALTH_READ}

    def show(self, request: Request) -> HttpResponse:
        if not settings.SCHEDULER.metrics_enabled:
            raise NotFound("METRICS_COLLECTION_ENABLED is false.")
        return exposition(metrics.latest_reading(), request._request)


def _demand(found: Demand) -> dict[str, Any]:
    return {
        "slots": found.slots,
        "running": found.running,
        "startable": found.startable,
        "soon": found.soon,
        "blocked": found.blocked,
        "workersWanted": found.workers_wanted,
        "atLeast": found.at_least,
    }


def _worker(load: WorkerLoad) -> dict[str, Any]:
    worker = load.worker
    return {
        "workerId": str(worker.pk),
        "name": worker.name,
        "state": worker.state,
        "host": worker.host,
        "pid": worker.pid,
        "version": worker.version,
        "queues": worker.queues,
        "labels": worker.labels,
        "slots": worker.slots,
        "prefetch": worker.prefetch,
        "assigned": load.assigned,
        "running": load.running,
        "startedAt": show_instant(worker.started_at),
        "lastHeartbeatAt": show_instant(worker.last_heartbeat_at),
        "heartbeatAgeSeconds": round(load.heartbeat_age.total_seconds(), 3),
        "stateChangedAt": show_instant(worker.state_changed_at),
    }
