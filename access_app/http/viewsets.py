"""The base of every endpoint: who asks, what they may, what is read and what is returned, once for all of them.

An endpoint is a method of a viewset (``list``, ``create`` … and those with ``@action``); ``routing`` gives it an
address. Everything that DRF would take from the project's REST_FRAMEWORK is named here: the apps refuse strangers and
return JSON in any Django project.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from access_app.exports import FORMATS, Exported, ExportRefused, export, filters_of
from access_app.http import conditions
from access_app.http.authentication import AdminSessionAuthentication, ApiKeyAuthentication
from access_app.http.errors import Problems, problem_response
from access_app.http.filters import ListFilters
from access_app.http.idempotency import read_idempotency
from access_app.http.pagination import Shelf, page_of
from access_app.http.parsers import StrictJSONParser, empty_body, json_body, optional_json_body
from access_app.http.permissions import TableDecides
from access_app.http.problems import Problem
from access_app.http.query import Query, refuse_unknown
from access_app.http.renderers import AlwaysFirst, JSONRenderer
from access_app.idempotency import Idempotency
from access_app.rights import Action, Caller
from access_app.texts import UUID_TEXT
from access_app.versions import Versions


class ApiViewSet(ViewSet):
    """Subclasses name what each of their methods needs, and the query parameters it knows."""

    #: Method of the viewset → what a caller needs for it. What is not here is for nobody.
    actions: ClassVar[Mapping[str, Action]] = {}
    #: Method of the viewset → the form of its query string. Other parameters are refused.
    parameters: ClassVar[Mapping[str, type[Query] | type[ListFilters]]] = {}
    #: What the ids in the paths are ids of.
    noun: ClassVar[str] = ""
    #: Exceptions of the app's domain, and what becomes of them.
    problems: ClassVar[Problems] = ()

    authentication_classes = [ApiKeyAuthentication, AdminSessionAuthentication]
    permission_classes = [TableDecides]
    parser_classes = [StrictJSONParser]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = AlwaysFirst
    throttle_classes = []
    versioning_class = None
    metadata_class = None
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]
    lookup_value_regex = "[^/]+"

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return problem_response

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self.check_parameters(request)

    def check_parameters(self, request: Request) -> None:
        """Raise `Problem` for parameters that the action does not know."""
        if request.GET:
            refuse_unknown(request.GET, self.parameters.get(str(self.action), Query).form_class().base_fields)

    # --- who asks

    @property
    def caller(self) -> Caller:
        """Who sent the request. It has passed authentication."""
        caller = self.request.auth
        assert isinstance(caller, Caller)
        return caller

    def require_type(self, task_type: str) -> None:
        """Raise `Refused` unless the caller may do this to tasks of a type."""
        self.caller.require(self.actions[self.action], task_type)

    # --- what is read

    def pk(self, text: str) -> UUID:
        """The id in a path. Written otherwise than as a UUID, it can only be one that does not exist."""
        if not UUID_TEXT.fullmatch(text):
            raise Problem.not_found(f"There is no {self.noun} with this id.")
        return UUID(text)

    def query(self) -> dict[str, Any]:
        """What the parameters of the query string mean, with their defaults. Raises `Problem`."""
        return self.parameters[self.action].form_class().read(self.request.GET)

    def body(self, *, limit: int | None = None) -> Any:
        """The JSON of a request that must have a body. Raises `Problem`."""
        return json_body(self.request, limit=settings.MAX_BODY if limit is None else limit)

    def optional_body(self) -> Any:
        """The JSON of the request, or an empty object when it has no body. Raises `Problem`."""
        return optional_json_body(self.request, limit=settings.MAX_BODY)

    def empty_body(self) -> None:
        """Accept no body, or an empty JSON object. Raises `Problem` for anything else."""
        empty_body(self.request)

    def versions(self) -> Versions:
        """The versions that If-Match accepts. Raises `Problem`."""
        return conditions.if_match(self.request.META.get("HTTP_IF_MATCH"))

    def idempotency(self, operation: str, body: Any) -> Idempotency | None:
        """The Idempotency-Key, for this operation with this body. Raises `Problem`."""
        return read_idempotency(self.request.META.get("HTTP_IDEMPOTENCY_KEY"), operation, body)

    # --- what is returned

    def shown(
        self, document: Any, *, version: int | None = None, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> Response:
        """A document; of a row that has versions, with its ETag."""
        tag = {} if version is None else {"ETag": conditions.etag(version)}
        return Response(document, status=status, headers={**tag, **(headers or {})})

    def created(
        self,
        document: Any,
        *,
        at: str | None = None,
        version: int | None = None,
        replayed: bool = False,
        existing: str = "",
    ) -> Response:
        """201 and where it is; 200 when it was there before.

        ``replayed``: an earlier request with the same Idempotency-Key has made it. ``existing``: what became of it.
        """
        if replayed:
            return self.shown(document, version=version, headers={"Idempotent-Replayed": "true"})
        if existing:
            return self.shown(document, version=version, headers={"Not-Created": existing})
        return self.shown(document, version=version, status=201, headers={"Location": at} if at else None)

    def unchanged(self, version: int) -> Response | None:
        """304 when the caller has this version already, by its If-None-Match."""
        if not conditions.is_fresh(self.request.META.get("HTTP_IF_NONE_MATCH"), version):
            return None
        return self.shown(None, version=version, status=304)

    def listed(self, items: list[Any]) -> Response:
        """A list that is not paged."""
        return Response({"content": items})

    def exported(self, filters: ListFilters, shelf: Shelf, *, name: str, columns: Sequence[str]) -> HttpResponseBase:
        """All of a list as a file; its filters are an `ExportedList`. Raises `Problem`."""
        listing = filters.listing()
        rows = listing.rows.filter(listing.hint).order_by(*listing.sort.order())
        asked = filters_of(self.request.GET)
        form = asked.pop("format", "json")
        if self.request.method == "HEAD":  # nobody takes anything along
            return HttpResponse(content_type=f"{FORMATS[form]}; charset=utf-8")
        listed = Exported(name=name, rows=rows, columns=columns, show=shelf.show)
        try:
            return export(listed, form, actor=self.caller.name, asked=asked)
        except ExportRefused as error:
            if error.again:
                raise Problem(503, "busy", str(error), headers={"Retry-After": "5"}) from error
            raise Problem(400, "too-many-rows", str(error)) from error

    def page(self, filters: ListFilters, shelf: Shelf) -> Response:
        """The page of a list that its filters ask for. Raises `Problem`."""
        return Response(page_of(filters.listing(), shelf))
