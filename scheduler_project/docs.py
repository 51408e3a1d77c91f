"""``GET /schema`` and ``GET /docs``: what the API is, for programs and for people. Everything is served from here."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

import yaml
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request

from access_app.http.renderers import dumps
from access_app.http.viewsets import ApiViewSet
from access_app.rights import Action
from scheduler_project.openapi import document

_YAML: Final = re.compile(r"\b(application/(x-)?yaml|text/(x-)?yaml|application/vnd\.oai\.openapi)(?!\+json)\b")


class Schema(ApiViewSet):
    actions = {"show": Action.SCHEMA_READ}

    def show(self, request: Request) -> HttpResponse:
        if _YAML.search(request.META.get("HTTP_ACCEPT", "")):
            response = HttpResponse(_yaml(), content_type="application/yaml")
        else:
            response = HttpResponse(dumps(document()), content_type="application/json")
        response["Vary"] = "Accept"
        return response


class Docs(ApiViewSet):
    """Swagger UI. The page asks for the schema with the session, or with the key given to "Authorize"."""

    actions = {"show": Action.SCHEMA_READ}

    def show(self, request: Request) -> HttpResponse:
        return render(request._request, "scheduler_project/docs.html")

    def handle_exception(self, error: Exception) -> Any:
        request: HttpRequest = self.request._request
        is_browser = request.method in ("GET", "HEAD") and "text/html" in request.META.get("HTTP_ACCEPT", "")
        if isinstance(error, NotAuthenticated) and is_browser:
            response: HttpResponseBase = redirect_to_login(request.get_full_path())
            return response
        return super().handle_exception(error)


class _PlainDumper(yaml.SafeDumper):
    """Writes shared parts out again each time: other readers of OpenAPI expect no anchors. Enums are text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_PlainDumper.add_multi_representer(str, lambda dumper, text: dumper.represent_str(str(text)))


@cache
def _yaml() -> str:
    text: str = yaml.dump(document(), Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=120)
    return text
