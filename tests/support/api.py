"""A caller of the REST API for tests. Every answer is held against the OpenAPI document, and none may be a 5xx."""

from __future__ import annotations

import gzip
import json
import re
from functools import cache
from typing import Any

from django.core.handlers.base import BaseHandler
from django.test import Client
from django.test.client import ClientHandler
from jsonschema import Draft202012Validator, FormatChecker

from scheduler_project.openapi import document


class Api:
    """Sends requests with a key (None: without). ``data`` is sent as JSON unless it is bytes."""

    def __init__(self, secret: str | None, *, allow_5xx: bool = False) -> None:
        self.secret = secret
        self.allow_5xx = allow_5xx
        self.client = Client(raise_request_exception=False)
        self.client.handler = _handler()

    def get(self, path: str, **headers: str) -> Any:
        return self.send("GET", path, **headers)

    def post(self, path: str, data: Any = None, **headers: str) -> Any:
        return self.send("POST", path, data, **headers)

    def patch(self, path: str, data: Any = None, **headers: str) -> Any:
        return self.send("PATCH", path, data, **headers)

    def put(self, path: str, data: Any = None, **headers: str) -> Any:
        return self.send("PUT", path, data, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self.send("DELETE", path, **headers)

    def send(
        self, method: str, path: str, data: Any = None, *, environ: dict[str, Any] | None = None, **headers: str
    ) -> Any:
        """Header names are written with underscores: ``If_Match``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.secret is not None:
            named.setdefault("Authorization", f"Bearer {self.secret}")
        body = b"" if data is None else data if isinstance(data, bytes) else json.dumps(data).encode()
        content_type = named.pop("Content-Type", "application/json")
        response = self.client.generic(method, path, body, content_type, headers=named, **(environ or {}))
        if not self.allow_5xx:
            assert response.status_code < 500, response.content
        check_answer(method, path.partition("?")[0], response)
        return response


def problem_of(response: Any, status: int) -> dict[str, Any]:
    """The problem document of an answer that must be one."""
    assert response.status_code == status, (response.status_code, response.content)
    assert response["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem.keys() >= {"type", "title", "status", "detail", "errors", "correlationId"}
    assert problem["status"] == status
    assert problem["correlationId"] == response["X-Correlation-ID"]
    return problem


def fields_of(response: Any, status: int = 400) -> set[str]:
    """The fields a problem names."""
    return {error["field"] for error in problem_of(response, status)["errors"]}


def check_answer(method: str, path: str, response: Any) -> None:
    """Hold an answer of a documented path against the document: its status is named, and its body has that schema."""
    assert response["X-Correlation-ID"]
    template = _template(path.removesuffix("/") or "/")
    if template is None:
        return
    described = document()["paths"][template].get(method.lower())
    if described is None:
        assert method == "HEAD" or response.status_code in (401, 405)
        return
    schemas = _schemas(template, method.lower(), str(response.status_code))
    if response.status_code == 304 or not schemas:
        return
    media_type = response["Content-Type"].partition(";")[0]
    assert media_type in schemas, f"{method} {template} {response.status_code} does not promise {media_type}"
    if media_type.endswith("json") and not response.streaming:  # a test that reads a stream holds it itself
        content = gzip.decompress(response.content) if response.get("Content-Encoding") == "gzip" else response.content
        errors = [
            f"{error.json_path}: {error.message}" for error in schemas[media_type].iter_errors(json.loads(content))
        ]
        assert not errors, f"{method} {template} {response.status_code}: {errors}"


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """A validator of a schema that refers to components of the document."""
    return Draft202012Validator(schema | {"components": document()["components"]}, format_checker=FormatChecker())


@cache
def _handler() -> BaseHandler:
    """One for all clients: loading the middleware walks all static files."""
    handler = ClientHandler(enforce_csrf_checks=True)
    handler.load_middleware()
    return handler


@cache
def _template(path: str) -> str | None:
    exact = [template for template in document()["paths"] if template == path]
    for template in exact or document()["paths"]:
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            return str(template)
    return None


@cache
def _schemas(template: str, method: str, status: str) -> dict[str, Draft202012Validator]:
    responses = document()["paths"][template][method]["responses"]
    assert status in responses, f"{method} {template} does not promise {status}"
    response = responses[status]
    if "$ref" in response:
        response = document()["components"]["responses"][response["$ref"].rpartition("/")[2]]
    return {name: validator(media["schema"]) for name, media in response.get("content", {}).items()}
