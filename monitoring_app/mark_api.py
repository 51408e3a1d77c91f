"""The resource ``/marks``: instants with a name, such as deploys."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from rest_framework.request import Request
from rest_framework.response import Response

from access_app.http.fields import Fields, or_null, read_object, text
from access_app.http.filters import By, ListFilters
from access_app.http.openapi.schemas import INSTANT
from access_app.http.pagination import Shelf
from access_app.http.problems import Problem
from access_app.http.query import instant
from access_app.http.times import parse_instant, show_instant
from access_app.http.viewsets import ApiViewSet
from access_app.rights import Action
from monitoring_app import marks
from monitoring_app.models import Mark

_NUMBER: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_FIELDS: Final[Fields] = {"name": ("name", text), "at": ("at", or_null(parse_instant))}


class MarkFilters(ListFilters):
    sorts = {"at": "at"}
    sort_schema = "MarkSort"

    from_ = By("at__gte", instant, INSTANT, "at ≥ this.")
    to = By("at__lt", instant, INSTANT, "at < this.")


class Marks(ApiViewSet):
    noun = "mark"
    lookup_url_kwarg = "mark_id"
    parameters = {"list": MarkFilters}
    actions = {"list": Action.MARK_READ, "create": Action.MARK_CREATE, "destroy": Action.MARK_DELETE}

    def list(self, request: Request) -> Response:
        return self.page(MarkFilters(request.GET, Mark.objects.all()), Shelf(mark_items))

    def create(self, request: Request) -> Response:
        """200 for a mark that was there: a request that is sent again sets none beside it, if it says when."""
        values, problems = read_object(self.body(), _FIELDS, required=("name",))
        if problems:
            raise Problem.invalid(problems)
        mark, made = marks.set_mark(values["name"], values.get("at"), actor=self.caller.name)
        return self.shown(mark_json(mark), status=201 if made else 200)

    def destroy(self, request: Request, mark_id: str) -> Response:
        self.empty_body()
        if not _NUMBER.fullmatch(mark_id):
            raise Problem.not_found("There is no mark with this id.")
        marks.delete_mark(int(mark_id), actor=self.caller.name)
        return Response(status=204)


def mark_items(rows: Sequence[Mark]) -> list[dict[str, Any]]:
    return [mark_json(row) for row in rows]


def mark_json(mark: Mark) -> dict[str, Any]:
    return {
        "id": mark.pk,
        "name": mark.name,
        "at": show_instant(mark.at),
        "createdAt": show_instant(mark.created_at),
        "createdBy": mark.created_by,
    }
