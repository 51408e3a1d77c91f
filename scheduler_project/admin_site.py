"""How the staff UI looks as a whole: names, colours, navigation (the UNFOLD setting of django-unfold).

Read while settings load: nothing here imports a model, and addresses are lazy. What the index page shows is
``monitoring_app/dashboard.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse, reverse_lazy
from django.utils.text import format_lazy

from access_app.rights import Action, Person


def _static(path: str) -> Callable[[HttpRequest], str]:
    return lambda request: static(path)


def _may(action: Action) -> Callable[[HttpRequest], bool]:
    return lambda request: Person(request.user).may(action)


def _has(permission: str) -> Callable[[HttpRequest], bool]:
    return lambda request: request.user.has_perm(permission)


#: Filters of a list that have an item of their own.
_LOOKS = ("?retrying=yes", "?approval=mine")


def _item(
    title: str, icon: str, app: str, model: str, shown: Callable[[HttpRequest], bool], query: str = ""
) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": format_lazy("{}{}", reverse_lazy(f"admin:{app}_{model}_changelist"), query),
        "permission": shown,
        "active": _is_open(app, model, query),
    }


def _is_open(app: str, model: str, query: str) -> Callable[[HttpRequest], bool]:
    """Whether this is the page somebody is on: of the looks of a list, the one that its address names."""

    def is_open(request: HttpRequest) -> bool:
        path = reverse(f"admin:{app}_{model}_changelist")
        looks = {look for look in _LOOKS if look[1:] in request.GET.urlencode().split("&")}
        return request.path.startswith(path) and query == (looks.pop() if request.path == path and looks else "")

    return is_open


def environment(request: HttpRequest) -> list[str]:
    """The profile, as a label in the header: nobody should take production for a trial."""
    profile = str(settings.SCHEDULER.profile)
    return [profile, "danger" if profile == "prod" else "info"]


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Task Scheduler",
    "SITE_HEADER": "Task Scheduler",
    "SITE_SUBHEADER": "Operations",
    "SITE_SYMBOL": "schedule_send",
    "SITE_URL": None,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _static("scheduler/favicon.svg")}],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": "scheduler_project.admin_site.environment",
    "DASHBOARD_CALLBACK": "monitoring_app.dashboard.add_overview",
    "STYLES": [_static("scheduler/colors.css"), _static("scheduler/admin.css")],
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            {
                "items": [
                    {"title": "Overview", "icon": "monitoring", "link": reverse_lazy("admin:index")},
                    {
                        "title": "History",
                        "icon": "show_chart",
                        "link": reverse_lazy("admin:history"),
                        "permission": _may(Action.TASK_READ),
                    },
                ],
            },
            {
                "title": "Work",
                "items": [
                    _item("Tasks", "task_alt", "tasks_app", "task", _may(Action.TASK_READ)),
                    _item("Retrying", "restart_alt", "tasks_app", "task", _may(Action.TASK_READ), "?retrying=yes"),
                    _item("To approve", "how_to_reg", "tasks_app", "task", _may(Action.TASK_READ), "?approval=mine"),
                    _item("Failures", "bug_report", "tasks_app", "failuregroup", _may(Action.FAILURE_READ)),
                    _item("Batches", "stacks", "workflows_app", "batch", _may(Action.BATCH_READ)),
                    _item("Executions", "history", "tasks_app", "taskexecution", _may(Action.EXECUTION_READ)),
                    _item("Bulk operations", "done_all", "tasks_app", "bulkoperation", _may(Action.BULK_READ)),
                    _item("Queues", "low_priority", "flow_app", "queue", _may(Action.QUEUE_READ)),
                    _item("Targets", "dns", "flow_app", "target", _may(Action.TARGET_READ)),
                    _item("Freezes", "ac_unit", "flow_app", "freeze", _may(Action.FREEZE_READ)),
                ],
            },
            {
                "title": "Schedules",
                "items": [
                    _item("Schedules", "event_repeat", "schedules_app", "schedule", _may(Action.SCHEDULE_READ)),
                    _item("Schedule fires", "calendar_month", "schedules_app", "schedulefire", _may(Action.FIRE_READ)),
                    _item(
                        "Blackout calendars",
                        "event_busy",
                        "schedules_app",
                        "blackoutcalendar",
                        _may(Action.CALENDAR_READ),
                    ),
                ],
            },
            {
                "title": "Webhooks",
                "items": [
                    _item("Endpoints", "webhook", "workflows_app", "webhookendpoint", _may(Action.ENDPOINT_READ)),
                    _item("Deliveries", "outbox", "workflows_app", "delivery", _may(Action.DELIVERY_READ)),
                ],
            },
            {
                "title": "Processes",
                "items": [
                    _item("Workers", "memory", "workers_app", "worker", _may(Action.WORKER_READ)),
                    _item("Schedulers", "calendar_clock", "workers_app", "scheduler", _may(Action.SCHEDULER_READ)),
                    _item("Marks", "flag", "monitoring_app", "mark", _may(Action.MARK_READ)),
                ],
            },
            {
                "title": "Access",
                "items": [
                    _item("API keys", "key", "access_app", "apikey", _may(Action.KEY_READ)),
                    _item("Audit trail", "policy", "access_app", "auditevent", _may(Action.AUDIT_READ)),
                    _item("Users", "person", "auth", "user", _has("auth.view_user")),
                    _item("Groups", "group", "auth", "group", _has("auth.view_group")),
                ],
            },
        ],
    },
}
