"""Addresses of viewsets: every one also with a trailing slash, and named after what it leads to.

``tasks`` (the list), ``tasks-bulk`` (an action of the list), ``task`` (one of them), ``task-retry`` (an action of one).
"""

from __future__ import annotations

from typing import Any

from django.urls import URLPattern, URLResolver, re_path
from rest_framework.routers import DynamicRoute, Route, SimpleRouter


class Router(SimpleRouter):
    """``register(prefix, viewset, basename)``: lists are named after the prefix, single rows after the basename.

    ``show`` is for what there is only one of. Ids are any segment: what they mean is judged after the caller is.
    """

    routes = [
        Route(r"^{prefix}/?\Z", {"get": "show"}, name="{prefix}", detail=False, initkwargs={}),
        Route(r"^{prefix}/?\Z", {"get": "list", "post": "create"}, name="{prefix}", detail=False, initkwargs={}),
        DynamicRoute(r"^{prefix}/{url_path}/?\Z", name="{prefix}-{url_name}", detail=False, initkwargs={}),
        Route(
            r"^{prefix}/{lookup}/?\Z",
            {"get": "retrieve", "put": "update", "patch": "partial_update", "delete": "destroy"},
            name="{basename}",
            detail=True,
            initkwargs={},
        ),
        DynamicRoute(r"^{prefix}/{lookup}/{url_path}/?\Z", name="{basename}-{url_name}", detail=True, initkwargs={}),
    ]

    def get_urls(self) -> list[URLPattern | URLResolver]:
        return [
            self._pattern(route, mapping, viewset, {"prefix": prefix, "basename": basename})
            for prefix, viewset, basename in self.registry
            for route in self.get_routes(viewset)
            if (mapping := self.get_method_map(viewset, route.mapping))
        ]

    def _pattern(self, route: Any, mapping: dict[str, str], viewset: Any, names: dict[str, str]) -> URLPattern:
        regex = route.url.format(lookup=self.get_lookup_regex(viewset), **names)
        view = viewset.as_view(mapping, basename=names["basename"], detail=route.detail, **route.initkwargs)
        pattern: URLPattern = re_path(regex, view, name=route.name.format(**names))
        return pattern
