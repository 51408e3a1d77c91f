"""Every viewset names an action of the table for each of its methods; one that names none is refused to everybody."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import NotAuthenticated
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from access_app.rights import Caller


class TableDecides(BasePermission):
    """Reads ``view.actions``. An HTTP method the view does not have is let through to its 405, for callers with a key.

    Raises `Refused` for what the table does not allow.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if not isinstance(request.auth, Caller):
            raise NotAuthenticated("Send an API key: Authorization: Bearer ts_…")
        action = getattr(view, "actions", {}).get(getattr(view, "action", None))
        if action is None:
            method = str(request.method).lower()
            return method not in view.http_method_names or not hasattr(view, method)
        request.auth.require(action)
        return True
