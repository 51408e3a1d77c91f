"""What a caller may do: every view says which scopes each method needs, and a view that says nothing answers nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.exceptions import NotAuthenticated, PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from tasks_app.access import Scope
from tasks_app.api.authentication import Caller
from tasks_app.executors.registry import executor_for

#: Scopes by HTTP method; an empty tuple is any valid key. HEAD needs what GET needs.
Scopes = Mapping[str, tuple[Scope, ...]]


class HasScope(BasePermission):
    """Reads ``view.scopes``. A method the view does not have is let through to its 405, for callers with a key."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not isinstance(request.auth, Caller):
            raise NotAuthenticated("Send an API key: Authorization: Bearer ts_…")
        method = "GET" if request.method == "HEAD" else str(request.method)
        needed = getattr(view, "scopes", {}).get(method)
        if needed is None:
            return method.lower() not in view.http_method_names or not hasattr(view, method.lower())
        for scope in needed:
            require_scope(request.auth, scope)
        return True


def require_scope(caller: Caller, scope: str) -> None:
    """Raise `PermissionDenied` naming the scope unless the caller has it."""
    if scope not in caller.scopes:
        raise PermissionDenied(f"This needs the scope {scope}.")


def missing_type_scope(caller: Caller, task_type: str) -> str | None:
    """The scope a caller lacks to have tasks of a type run, or None."""
    executor = executor_for(task_type)
    scope = executor.required_scope if executor else None
    return scope if scope is not None and scope not in caller.scopes else None


def require_type_scope(caller: Caller, task_type: str) -> None:
    """Raise `PermissionDenied` unless the caller may have tasks of this type run."""
    if scope := missing_type_scope(caller, task_type):
        raise PermissionDenied(f"{task_type} tasks need the scope {scope}.")
