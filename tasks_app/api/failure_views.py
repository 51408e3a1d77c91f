"""The resource ``/failures``: attempts that failed alike, in groups, and the retry of one."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from access_app.http.pagination import numbered
from access_app.http.problems import Problem
from access_app.http.times import show_instant
from access_app.http.viewsets import ApiViewSet
from access_app.rights import Action
from tasks_app import acting, failure_groups
from tasks_app.api.failure_inputs import FailuresQuery, WindowQuery, read_retry, retry_of, wanted_of, window_of
from tasks_app.api.operation_outputs import operation_json
from tasks_app.api.operation_views import barred_for, try_out
from tasks_app.failure_groups import Counted
from tasks_app.failures import FailureGroup
from tasks_app.fingerprints import FINGERPRINT


class Failures(ApiViewSet):
    noun = "group of failures"
    lookup_url_kwarg = "fingerprint"
    parameters = {"list": FailuresQuery, "retrieve": WindowQuery}
    actions = {"list": Action.FAILURE_READ, "retrieve": Action.FAILURE_READ, "retry": Action.BULK_RUN}

    def list(self, request: Request) -> Response:
        asked = self.query()
        groups, total = failure_groups.list_groups(wanted_of(asked))
        return Response(numbered(failure_items(groups), page=asked["page"], size=asked["size"], total=total))

    def retrieve(self, request: Request, fingerprint: str) -> Response:
        window = window_of(self.query())
        return self.shown(failure_items([failure_groups.count_group(self._group(fingerprint), window)])[0])

    @action(detail=True, methods=["post"])
    def retry(self, request: Request, fingerprint: str) -> Response:
        group, body = self._group(fingerprint), self.optional_body()
        idempotency = self.idempotency(f"POST /failures/{group.pk}/retry", body)
        asked = read_retry(body)
        ask = retry_of(group.pk, asked.window)
        row, made = acting.begin(
            ask,
            try_out(ask, self.caller).token,
            actor=self.caller.name,
            barred=barred_for(self.caller),
            reason=asked.reason,
            rate=asked.rate,
            idempotency=idempotency,
        )
        if not made:
            return self.created(operation_json(row), version=row.version, replayed=True)
        where = {"Location": reverse("bulk-operation", args=[row.pk])}
        return self.shown(operation_json(row), version=row.version, status=202, headers=where)

    def _group(self, fingerprint: str) -> FailureGroup:
        if not FINGERPRINT.fullmatch(fingerprint):
            raise Problem.not_found("There is no group of failures of this fingerprint, and there cannot be one.")
        return failure_groups.group_of(fingerprint)


def failure_items(groups: list[Counted]) -> list[dict[str, Any]]:
    hours = failure_groups.hours_of([group.fingerprint for group in groups])
    return [failure_json(group, hours[group.fingerprint]) for group in groups]


def failure_json(group: Counted, hours: list[int]) -> dict[str, Any]:
    return {
        "fingerprint": group.fingerprint,
        "count": group.count,
        "first": show_instant(group.first),
        "last": show_instant(group.last),
        "type": group.type,
        "code": group.code,
        "message": group.message,
        "sample": group.sample and str(group.sample),
        "lastHours": hours,
    }
