"""Every address of the site: none answers without a key but those that should, and the API's are all documented."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.staticfiles.storage import staticfiles_storage
from django.urls import URLPattern, URLResolver, get_resolver, resolve

from scheduler_project.openapi import document
from tests.factories import make_key, make_task
from tests.support.access_walk import demands
from tests.support.api import Api, problem_of

#: What answers anybody: liveness, readiness, and the way to log in.
PUBLIC = {"/health/live", "/health/ready", "/admin/login/"}
VALUES = {"object_id": "1", "app_label": "tasks_app", "url": "x", "path": "x"}


def addresses(patterns: Any = None, prefix: str = "/") -> Iterator[str]:
    """A path for every pattern of the resolver, admin and all."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        text = str(pattern.pattern).removeprefix("^").replace("\\Z", "").replace("$", "")
        text = re.sub(r"\(\?P<(\w+)>[^)]*\)|<(?:\w+:)?(\w+)>", _value, text).replace("/?", "")
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, prefix + text)
        else:
            assert isinstance(pattern, URLPattern)
            yield prefix + re.sub(r"\\(.)", r"\1", text)


def _value(match: re.Match[str]) -> str:
    name = match[1] or match[2]
    return VALUES.get(name, "01890000-0000-7000-8000-000000000000")


ADDRESSES = sorted(set(addresses()))
API = [address for address in ADDRESSES if not address.startswith("/admin/") and address != "/"]


class TestWithoutAKey:
    def test_the_walk_sees_the_whole_site(self) -> None:
        assert {"/", "/tasks", "/queues", "/metrics", "/health", "/docs", "/admin/", "/admin/tasks_app/task/"} <= set(
            ADDRESSES
        )

    @pytest.mark.parametrize("address", ADDRESSES)
    @pytest.mark.parametrize("slash", ["", "/"])
    def test_nothing_answers(self, anonymous: Api, address: str, slash: str) -> None:
        task = make_task(correlation_id="must-not-be-seen")
        path = address.replace("01890000-0000-7000-8000-000000000000", str(task.pk))
        path = path.rstrip("/") + slash if path != "/" else path
        for method in ("GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"):
            response = anonymous.send(method, path, Accept="text/html")
            assert b"must-not-be-seen" not in response.content
            if path.rstrip("/") + "/" in PUBLIC or path.rstrip("/") in PUBLIC:
                continue
            if response.status_code == 302:
                assert response["Location"].startswith("/admin/")
            else:
                assert response.status_code in (401, 403, 405), (method, path, response.status_code)

    @pytest.mark.parametrize("address", ["/", "/docs", "/admin/", "/admin/tasks_app/task/"])
    def test_a_browser_ends_at_the_login_page(self, anonymous: Api, address: str) -> None:
        response = anonymous.client.get(address, headers={"Accept": "text/html"}, follow=True)
        assert response.redirect_chain[-1][0].startswith("/admin/login/?next=")
        assert response.status_code == 200

    def test_static_files_answer(self, anonymous: Api) -> None:
        url = staticfiles_storage.url("drf_spectacular_sidecar/swagger-ui-dist/swagger-ui.css")
        response = anonymous.get(url)
        assert response.status_code == 200
        response.close()

    def test_a_static_file_that_does_not_exist_is_404(self, anonymous: Api) -> None:
        assert anonymous.get("/static/nope.css").status_code == 404


class TestDocumented:
    def test_every_address_of_the_api_is(self) -> None:
        described = {re.sub(r"\{\w+\}", "01890000-0000-7000-8000-000000000000", path) for path in document()["paths"]}
        assert set(API) == described

    @pytest.mark.parametrize("path", sorted(document()["paths"]))
    def test_every_method_of_every_address_is(self, api: Api, path: str) -> None:
        response = api.send("BREW", re.sub(r"\{\w+\}", "01890000-0000-7000-8000-000000000000", path))
        problem_of(response, 405)
        allowed = set(response["Allow"].split(", ")) - {"HEAD"}
        assert allowed == {method.upper() for method in document()["paths"][path] if method != "parameters"}

    @pytest.mark.parametrize("path", sorted(set(document()["paths"]) - PUBLIC))
    def test_what_it_needs_is_what_the_table_says(self, path: str) -> None:
        view: Any = resolve(re.sub(r"\{\w+\}", "01890000-0000-7000-8000-000000000000", path)).func
        described = {
            method.upper(): each for method, each in document()["paths"][path].items() if method != "parameters"
        }
        assert described.keys() == demands(view).keys()
        for method, action in demands(view).items():
            assert described[method]["security"] == [
                *({"apiKey": sorted(way.scopes)} for way in action.ways),
                *([{"taskToken": []}] if action.by_task else []),
                *({"adminSession": sorted(way.permissions)} for way in action.ways),
            ]

    @pytest.mark.parametrize("address", [address for address in API if address not in PUBLIC])
    def test_every_address_needs_a_scope_or_any_key(self, db: None, address: str) -> None:
        keyless = Api(make_key("tasks:shell"))
        for method in ("GET", "POST", "PATCH", "DELETE"):
            described = document()["paths"].get(address, {}).get(method.lower())
            if described is not None:
                status = keyless.send(method, address).status_code
                assert (status == 403) == ("Scope: " in described["description"]), (method, address, status)
