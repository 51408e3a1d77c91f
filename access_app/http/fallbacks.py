"""What is returned where no view of the API was asked: `Problem` documents as well.

People's error pages are ``scheduler_project.error_pages``, which hands on here what is no page.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from access_app.http.errors import plain_response, problem_of
from access_app.http.problems import Problem
from access_app.http.viewsets import ApiViewSet


class UnknownUrl(ApiViewSet):
    """Any address that no route knows: a caller without a key learns no more than that it needs one."""

    http_method_names = []

    def check_parameters(self, request: Request) -> None:
        """Whatever they are, they are not what is wrong."""

    def show(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        raise NotFound("There is nothing at this address.")

    http_method_not_allowed = show


_unknown_url: Final = UnknownUrl.as_view({"get": "show"})


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """A host that is not ours, a request that cannot be read."""
    problem = problem_of(exception) if exception else None
    return plain_response(problem or Problem(400, "bad-request", "The request cannot be understood."))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """What nobody may do, whoever asks."""
    return plain_response(Problem(403, "forbidden", "This is not allowed."))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Any address that no route knows."""
    return _unknown_url(request)


def server_error(request: HttpRequest) -> HttpResponse:
    """An exception that got away: the traceback is in the log; a database that is away is not our defect."""
    error = sys.exc_info()[1]
    problem = problem_of(error) if isinstance(error, Exception) else None
    if problem is not None and problem.status == 503:
        return plain_response(problem)
    return plain_response(Problem(500, "internal", "Something went wrong on our side. The log has the details."))
