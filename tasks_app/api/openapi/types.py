"""Payloads and results of the task types that come with it, and the open ones of types that an installation adds."""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.schemas import COUNT, Json, closed_set, nullable, obj, open_obj, schema, string_map
from tasks_app.conf import Sandbox
from tasks_app.executors.dummy import MAX_SLEEP_MS
from tasks_app.executors.http_payload import MAX_HEADERS, MAX_URL_BYTES, METHODS

#: Built-in types and the prefix of their schemas. Whatever has another type is "Custom".
KINDS: Final = {"HTTP": "Http", "SHELL": "Shell", "DUMMY": "Dummy"}
CUSTOM: Final = "Custom"

_TEXT: Final[Json] = {"type": "string"}
_FLAG: Final[Json] = {"type": "boolean"}
_STATUS_CODE: Final[Json] = {"type": "integer", "minimum": 100, "maximum": 599}
_STATUS_RANGE: Final[Json] = {"type": "string", "pattern": "^[1-5][0-9]{2}-[1-5][0-9]{2}$"}
_NEVER_BOTH: Final = "Either `command` or `argv`."

PAYLOADS: Final[Json] = {
    "HttpPayload": obj(
        {
            "url": _TEXT | {"description": f"http:// or https://, at most {MAX_URL_BYTES} bytes, no user or password."},
            "method": _TEXT | {"default": "GET", "description": f"In any case: {', '.join(METHODS)}."},
            "headers": schema("HttpHeaders"),
            "body": {
                "description": "A string is sent byte for byte, as UTF-8. Any other JSON value is sent as the "
                "database keeps it, names of objects sorted by length and then by bytes: sign strings."
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
    "HttpHeaders": string_map(maxProperties=MAX_HEADERS, description="Sent with the request. Names count in any case."),
    "ShellPayload": obj(
        {
            "command": _TEXT | {"description": f"For `/bin/sh -c`. {_NEVER_BOTH}"},
            "argv": {
                "type": "array",
                "items": _TEXT,
                "minItems": 1,
                "description": f"A program and its arguments, without a shell. {_NEVER_BOTH}",
            },
            "workingDirectory": _TEXT | {"description": "An absolute path."},
            "environment": schema("Environment"),
        },
        required=[],
        description="A command. Exit code 0 is success.",
    ),
    "Environment": string_map(description="Variables that the command gets besides the few it always has."),
    "DummyPayload": obj(
        {
            "sleepDurationMs": {"type": "integer", "minimum": 0, "maximum": MAX_SLEEP_MS, "default": 0},
            "shouldFail": _FLAG | {"default": False},
        },
        required=[],
        description="Sleeps, then succeeds or fails as told.",
    ),
    "CustomPayload": open_obj({}, description="What a type that this installation adds needs."),
    "HttpResult": open_obj(
        {
            "statusCode": {"type": "integer"},
            "headers": schema("AnswerHeaders"),
            "body": _TEXT | {"description": "The first 64 KiB of text, in the charset that the answer names or UTF-8."},
            "bodyTruncated": _FLAG | {"description": "Whether there was more of it."},
            "bodyNote": _TEXT | {"description": "Why the body was left out."},
            "durationMs": COUNT,
        },
        required=["statusCode", "headers", "body", "bodyTruncated", "durationMs"],
        description="The answer, as far as it came.",
    ),
    "AnswerHeaders": string_map(description="Cookies are hidden; several of one name are joined."),
    "ShellResult": open_obj(
        {
            "exitCode": nullable("integer"),
            "signal": nullable("string"),
            "stdout": _TEXT | {"description": "Head and tail, at most 64 KiB."},
            "stderr": _TEXT,
            "stdoutTruncated": _FLAG,
            "stderrTruncated": _FLAG,
            "cpuMs": nullable("integer", description="Processor time; null when nobody could tell."),
            "maxRssBytes": nullable("integer", description="Peak memory; null when nobody could tell."),
            "sandbox": schema("Sandbox"),
        },
        required=["exitCode", "signal", "stdout", "stderr", "stdoutTruncated", "stderrTruncated"],
        description="How the command ended, and what it printed.",
    ),
    "Sandbox": closed_set(Sandbox, "What held a command (SHELL_SANDBOX)."),
    "DummyResult": open_obj({"sleptMs": COUNT}, required=["sleptMs"], description="How long it slept."),
    "CustomResult": open_obj({}, description="Whatever a type that this installation adds gives back."),
    "Payload": {
        "description": "What the task's type needs; at most 256 KiB and 32 levels.",
        "anyOf": [schema(f"{kind}Payload") for kind in (*KINDS.values(), CUSTOM)],
    },
    "Result": {
        "description": "What an attempt brought; a failed one may have a result too.",
        "anyOf": [schema(f"{kind}Result") for kind in (*KINDS.values(), CUSTOM)],
    },
}


def by_type(name: str, *, prefix: str = "") -> Json:
    """One of the schemas ``HttpX``, ``ShellX``, ``DummyX`` and ``CustomX``, told apart by their ``type``."""
    builtin = {kind: schema(f"{prefix}{middle}{name}")["$ref"] for kind, middle in KINDS.items()}
    refs = [*builtin.values(), schema(f"{prefix}{CUSTOM}{name}")["$ref"]]
    return {
        "oneOf": [{"$ref": ref} for ref in refs],
        "discriminator": {"propertyName": "type", "mapping": builtin},
    }


def type_field(kind: str) -> Json:
    """The type's own name; of a type that is not built in, any other."""
    if kind == CUSTOM:
        others = "|".join(f"{name}$" for name in KINDS)
        return {"type": "string", "pattern": f"^(?!{others})", "description": "A type that this installation adds."}
    return {"type": "string", "const": next(name for name, prefix in KINDS.items() if prefix == kind)}
