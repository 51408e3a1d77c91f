"""What may be asked of the audit trail, and which of its indexes that leads to."""

from __future__ import annotations

import re
from typing import Final

from django.db.models import Q

from access_app.http.filters import By, ListFilters, PagedQuery
from access_app.http.openapi.schemas import INSTANT, Json
from access_app.http.query import instant, matching, visible
from access_app.texts import UUID_TEXT

KIND: Final = re.compile(r"[a-z][a-z_]{0,49}", re.ASCII)
_TEXT: Final[Json] = {"type": "string", "minLength": 1}
#: Events about tasks, which have indexes of their own: most are.
TASK: Final = "task"


class AuditQuery(PagedQuery):
    """A name alone could be that of anything, and no index has it."""

    def clean(self) -> None:
        super().clean()
        if "targetId" in self.fields and "targetType" not in self.fields:
            self.add_error("targetId", "needs targetType as well, such as task or queue")
        elif {"targetId", "targetType"} <= self.cleaned_data.keys():  # one condition, which an index has
            self.cleaned_data["targetId"] = self.cleaned_data.pop("targetType"), self.cleaned_data["targetId"]


def of_kind(kind: str) -> Q:
    """Events about targets of a kind."""
    return Q(task_id__isnull=kind != TASK, target__startswith=f"{kind}:")


def of_target(target: tuple[str, str]) -> Q:
    """Events about one target, of a kind and a name. Indexes: audit_task, audit_target."""
    kind, name = target
    if kind != TASK:
        return Q(task_id__isnull=True, target=f"{kind}:{name}")
    return Q(task_id=name) if UUID_TEXT.fullmatch(name) else Q(pk__in=())


class AuditFilters(ListFilters):
    """Events are listed in the order in which they were written, which is that of their ids."""

    class Meta:
        form = AuditQuery

    sorts = {"at": "pk"}
    sort_schema = "AuditSort"

    actor = By("actor", visible, _TEXT, "What this key, `user:NAME` or part of the system has done.")
    action = By("action", visible, _TEXT, "Events that say this: `task.cancelled`, `queue.paused`.")
    target_type = By(
        of_kind,
        matching(KIND, "must be a kind of target, such as task or queue"),
        _TEXT | {"pattern": f"^{KIND.pattern}$"},
        "What was done to such things: `task`, `queue`, `schedule`, `api_key`, `user`.",
    )
    target_id = By(
        of_target, visible, _TEXT, "What was done to this one of them, by its id or name; with `targetType`."
    )
    from_ = By("at__gte", instant, INSTANT, "at ≥ this.")
    to = By("at__lt", instant, INSTANT, "at < this.")
