"""What `workflows_app` documents of the API."""

from __future__ import annotations

from access_app.http.openapi.chapters import Chapter
from workflows_app.api import openapi_callbacks as callbacks


def chapter() -> Chapter:
    return Chapter(callbacks.PATHS, callbacks.SCHEMAS, callbacks.TAGS, webhooks=callbacks.WEBHOOKS)
