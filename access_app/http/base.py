"""What every view of the API shares: actions by method, known query parameters only, JSON whatever ``Accept`` says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from uuid import UUID

from django.urls import URLPattern, re_path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access_app.http.problems import Problem
from access_app.http.renderers import AlwaysFirst
from access_app.rights import Action, Caller

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


class ApiView(APIView):
    """Subclasses name, by method, the ``actions`` of the table and the query ``parameters`` they read."""

    actions: ClassVar[Mapping[str, Action]] = {}
    parameters: ClassVar[Mapping[str, frozenset[str]]] = {}
    http_method_names = ["get", "head", "post", "patch", "delete"]
    content_negotiation_class = AlwaysFirst

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        method = "GET" if request.method == "HEAD" else str(request.method)
        if unknown := request.GET.keys() - self.parameters.get(method, frozenset()):
            raise Problem.invalid({name[:100]: "unknown parameter" for name in sorted(unknown)[:20]})

    def require_type(self, request: Request, task_type: str) -> None:
        """Raise `Refused` unless the caller may do what this method does to tasks of a type."""
        caller_of(request).require(self.actions[str(request.method)], task_type)


def caller_of(request: Request) -> Caller:
    """Who sent a request that has passed authentication."""
    caller = request.auth
    assert isinstance(caller, Caller)
    return caller


def uuid_or_404(text: str, what: str) -> UUID:
    """The id in a path. Written otherwise than as a UUID, it can only be one that does not exist."""
    if not _UUID.fullmatch(text):
        raise Problem.not_found(f"There is no {what} with this id.")
    return UUID(text)


def route(path: str, view: Any, name: str) -> URLPattern:
    """A URL that is also answered with a trailing slash. ``<name>`` matches one segment of the path."""
    regex = re.sub(r"<(\w+)>", r"(?P<\1>[^/]+)", path)
    pattern: URLPattern = re_path(rf"^{regex}/?\Z", view, name=name)
    return pattern


def content(items: list[Any]) -> Response:
    """A list that is not paged."""
    return Response({"content": items})
