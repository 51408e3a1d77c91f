"""What the HTTP type documents of itself: its payload and result as schemas, and an example."""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.schemas import COUNT, Json, obj, open_obj, schema, string_map
from tasks_app.executors.base import TypeDocs
from tasks_app.executors.http_payload import MAX_HEADERS, MAX_URL_BYTES, METHODS
from tasks_app.references import TEXT_OR_RESULT

_TEXT: Final[Json] = {"type": "string"}
_FLAG: Final[Json] = {"type": "boolean"}
_STATUS_CODE: Final[Json] = {"type": "integer", "minimum": 100, "maximum": 599}
_STATUS_RANGE: Final[Json] = {"type": "string", "pattern": "^[1-5][0-9]{2}-[1-5][0-9]{2}$"}

DOCS: Final = TypeDocs(
    payload=obj(
        {
            "url": _TEXT | {"description": f"http:// or https://, at most {MAX_URL_BYTES} bytes, no user or password."},
            "method": _TEXT | {"default": "GET", "description": f"In any case: {', '.join(METHODS)}."},
            "headers": schema("HttpHeaders"),
            "body": {
                "description": "A string is sent byte for byte, as UTF-8. Any other JSON value is sent as the "
                "database keeps it, names of objects sorted by length and then by bytes: sign strings. Any value in it "
                "may be a `ResultReference`."
            },
            "expectedStatus": {
                "description": "What counts as success; 200 to 299 if absent.",
                "oneOf": [
                    _STATUS_CODE,
                    {"type": "array", "minItems": 1, "items": {"oneOf": [_STATUS_CODE, _STATUS_RANGE]}},
                ],
            },
            "followRedirects": _FLAG | {"default": False, "description": "Follow up to 10 redirects."},
        },
        required=["url"],
        description="A request. 408, 425, 429, 5xx and network errors are retried, other statuses are not.",
    ),
    result=open_obj(
        {
            "statusCode": {"type": "integer"},
            "headers": schema("AnswerHeaders"),
            "body": _TEXT
            | {"description": "The first 64 KiB of text, in the charset that the response names or UTF-8."},
            "bodyTruncated": _FLAG | {"description": "Whether there was more of it."},
            "bodyNote": _TEXT | {"description": "Why the body was left out."},
            "durationMs": COUNT,
        },
        required=["statusCode", "headers", "body", "bodyTruncated", "durationMs"],
        description="The response, as far as it came.",
    ),
    parts={
        "HttpHeaders": string_map(
            TEXT_OR_RESULT,
            maxProperties=MAX_HEADERS,
            description="Sent with the request. Names count in any case.",
        ),
        "AnswerHeaders": string_map(description="Cookies are hidden; several of one name are joined."),
    },
    summary="Call a URL in an hour",
    example={"url": "https://example.com/hook", "method": "POST", "body": {"order": 17}},
    options={
        "scheduleAt": "2030-01-31T12:00:00+01:00",
        "retry": {"backoff": "exponential", "baseDelayMs": 2000},
    },
)
