"""The WSGI application, for gunicorn or any other server."""

import os
from collections.abc import Callable
from typing import Any, Final

import django
from django.core.handlers.wsgi import WSGIHandler
from django.http.response import HttpResponseBase
from django.utils.http import parse_header_parameters

#: What a body is whose type cannot be read: of no kind that anything here reads.
_NO_TYPE: Final = "application/octet-stream"

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_project.settings")


class Application(WSGIHandler):
    """Django's, which meets a Content-Type that it cannot read before any of the code that makes responses of errors.

    The server would log a traceback and respond with 500, whoever asked. What is wrong with one depends on the Django:
    an unknown encoding of a parameter, from 6.0 on ten thousand characters.
    """

    def __call__(self, meta: dict[str, Any], start_response: Callable[..., Any]) -> HttpResponseBase:
        try:
            parse_header_parameters(meta.get("CONTENT_TYPE", ""))
        except (ValueError, LookupError):
            meta["CONTENT_TYPE"] = _NO_TYPE
        return super().__call__(meta, start_response)


django.setup(set_prefix=False)
application = Application()

from scheduler_project.openapi import document  # noqa: E402 - it needs the apps

# A task type whose schemas have names that are taken ends the process now, and does not wait for somebody to look.
document()
