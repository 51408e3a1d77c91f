"""What `workflows_app` documents of the API."""

from __future__ import annotations

from access_app.http.openapi.chapters import Chapter, union
from workflows_app.api import openapi_batches as batches
from workflows_app.api import openapi_callbacks as callbacks


def chapter() -> Chapter:
    return Chapter(
        union(batches.PATHS, callbacks.PATHS),
        union(batches.SCHEMAS, callbacks.SCHEMAS),
        {**batches.TAGS, **callbacks.TAGS},
        webhooks=callbacks.WEBHOOKS,
    )
