"""What tasks of each type ask for and give back, as the registry knows it.

Types that document nothing of themselves share the open schemas of "Custom".
"""

from __future__ import annotations

import re
from typing import Final

from access_app.http.openapi.chapters import union
from access_app.http.openapi.schemas import Json, open_obj, schema
from tasks_app.executors.base import PayloadError, TypeDocs
from tasks_app.executors.registry import documented_types, executors


def _kind(task_type: str) -> str:
    """How the names of a type's schemas begin: ``SendMail`` for SEND_MAIL."""
    return "".join(word.capitalize() for word in re.findall(r"[A-Za-z0-9]+", task_type))


#: Types that say something of themselves, and how their schemas are named. Whatever has another type is "Custom".
KINDS: Final = {task_type: _kind(task_type) for task_type in documented_types()}
CUSTOM: Final = "Custom"
EVERY: Final = (*KINDS.values(), CUSTOM)


def _schemas(task_type: str, docs: TypeDocs) -> Json:
    kind = KINDS[task_type]
    return {f"{kind}Payload": docs.payload, f"{kind}Result": docs.result, **docs.parts}


SCHEMAS: Final[Json] = union(
    *(_schemas(task_type, docs) for task_type, docs in documented_types().items()),
    {
        "CustomPayload": open_obj({}, description="What a type that this installation adds needs."),
        "CustomResult": open_obj({}, description="Whatever a type that this installation adds gives back."),
        "Payload": {
            "description": "What the task's type needs; at most 256 KiB and 32 levels.",
            "anyOf": [schema(f"{kind}Payload") for kind in EVERY],
        },
        "Result": {
            "description": "What an attempt brought; a failed one may have a result too.",
            "anyOf": [schema(f"{kind}Result") for kind in EVERY],
        },
    },
)

EXAMPLES: Final[Json] = {
    task_type.lower(): {
        "summary": docs.summary,
        "value": {"type": task_type, "payload": docs.example, **docs.options},
    }
    for task_type, docs in documented_types().items()
}


def by_type(name: str, *, prefix: str = "") -> Json:
    """One of the schemas ``HttpX``, ``ShellX``, ``DummyX`` and ``CustomX``, which differ by their ``type``."""
    builtin = {kind: schema(f"{prefix}{middle}{name}")["$ref"] for kind, middle in KINDS.items()}
    refs = [*builtin.values(), schema(f"{prefix}{CUSTOM}{name}")["$ref"]]
    return {
        "oneOf": [{"$ref": ref} for ref in refs],
        "discriminator": {"propertyName": "type", "mapping": builtin},
    }


def type_field(kind: str) -> Json:
    """The type's own name; of a type that says nothing of itself, any other."""
    if kind == CUSTOM:
        others = "|".join(f"{re.escape(name)}$" for name in KINDS)
        return {"type": "string", "pattern": f"^(?!{others})", "description": "A type that this installation adds."}
    return {"type": "string", "const": _type_of(kind)}


def needs_payload(kind: str) -> bool:
    """Whether a task of this kind must say what it is to do: whether its type refuses the empty payload."""
    if kind == CUSTOM:
        return False
    try:
        executors()[_type_of(kind)].validate({})
    except PayloadError:
        return True
    return False


def _type_of(kind: str) -> str:
    return next(task_type for task_type, name in KINDS.items() if name == kind)
