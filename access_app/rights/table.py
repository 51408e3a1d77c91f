"""The table of actions: what each allows, and what keys and people need for it."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum, StrEnum, unique
from typing import Final


class Scope(StrEnum):
    """What an API key may be given. Task types of third parties may name further ones; see `scopes`."""

    TASKS_READ = "tasks:read"
    TASKS_WRITE = "tasks:write"
    TASKS_SHELL = "tasks:shell"
    TASKS_BULK = "tasks:bulk"
    SCHEDULES_READ = "schedules:read"
    SCHEDULES_WRITE = "schedules:write"
    AUDIT_READ = "audit:read"
    ADMIN = "admin"


class Role(StrEnum):
    """Groups of people made by migration; each may do what the ones before it may."""

    VIEWER = "Viewer"
    OPERATOR = "Operator"
    ADMINISTRATOR = "Administrator"


VIEWER, OPERATOR, ADMINISTRATOR = Role
#: In the column of keys: any valid key, and no key at all. In the column of people: any member of staff.
ANY_KEY: Final = frozenset[Scope]()
NO_KEY: Final = None
STAFF: Final = frozenset[str]()


@unique
class Action(Enum):
    """The table. Columns: what it allows, scopes a key needs, Django permissions a person needs, the least role;
    two more.

    ``runs``: it may make a task run, or run at another time or place. Where the type of the task needs a scope of its
    own (SHELL: ``tasks:shell``), a key needs that as well, and only superusers of people. Stopping does not need it.
    ``by_task``: a task may do it by its token, to itself and its batch.
    """

    TASK_READ = "see tasks: payload, result, attempts, timeline", {Scope.TASKS_READ}, {"tasks_app.view_task"}, VIEWER
    TASK_CREATE = "create tasks", {Scope.TASKS_WRITE}, {"tasks_app.add_task"}, OPERATOR, True
    TASK_EDIT = "change a task that has not started", {Scope.TASKS_WRITE}, {"tasks_app.change_task"}, OPERATOR, True
    TASK_CANCEL = "cancel a task", {Scope.TASKS_WRITE}, {"tasks_app.change_task"}, OPERATOR
    TASK_RETRY = "run an ended task again", {Scope.TASKS_WRITE}, {"tasks_app.change_task"}, OPERATOR, True
    TASK_APPROVE = (
        "approve a task that waits for that, as one whom it names",
        {Scope.TASKS_WRITE},
        {"tasks_app.view_task"},
        VIEWER,
    )
    TASK_REJECT = (
        "reject a task that waits for an approval, as one whom it names",
        {Scope.TASKS_WRITE},
        {"tasks_app.view_task"},
        VIEWER,
    )
    TASK_CLONE = "create a task like another", {Scope.TASKS_WRITE}, {"tasks_app.add_task"}, OPERATOR, True
    TASK_INPUTS = (
        "see what a task took from the results of others",
        {Scope.TASKS_READ},
        {"tasks_app.view_task"},
        VIEWER,
        False,
        True,
    )
    TASK_PROGRESS = (
        "report how far a running task is",
        {Scope.TASKS_WRITE},
        {"tasks_app.change_task"},
        OPERATOR,
        False,
        True,
    )
    EXECUTION_READ = "see the list of all attempts", {Scope.TASKS_READ}, {"tasks_app.view_taskexecution"}, VIEWER

    FAILURE_READ = "see failures in groups", {Scope.TASKS_READ}, {"tasks_app.view_task"}, VIEWER

    BULK_READ = "see bulk operations", {Scope.TASKS_BULK}, {"tasks_app.view_bulkoperation"}, VIEWER
    BULK_CREATE = (
        "cancel or expire all tasks that match a filter, and see ten of them",
        {Scope.TASKS_BULK},
        {"tasks_app.add_bulkoperation", "tasks_app.change_task"},
        OPERATOR,
    )
    BULK_RUN = (
        "retry, reprioritise or move all tasks that match a filter",
        {Scope.TASKS_BULK},
        {"tasks_app.add_bulkoperation", "tasks_app.change_task"},
        OPERATOR,
        True,
    )
    BULK_STOP = "stop a bulk operation", {Scope.TASKS_BULK}, {"tasks_app.change_bulkoperation"}, OPERATOR
    BULK_RESUME = (
        "let a stopped bulk operation go on",
        {Scope.TASKS_BULK},
        {"tasks_app.change_bulkoperation", "tasks_app.change_task"},
        OPERATOR,
    )
    BATCH_READ = "see batches: what is in them, how far they are", {Scope.TASKS_READ}, {"tasks_app.view_task"}, VIEWER
    BATCH_CREATE = "make a batch of tasks", {Scope.TASKS_WRITE}, {"tasks_app.add_task"}, OPERATOR, True
    BATCH_ADD = "add tasks to a batch", {Scope.TASKS_WRITE}, {"tasks_app.add_task"}, OPERATOR, True, True
    BATCH_CLOSE = (
        "let a batch be done, to which nothing more is added",
        {Scope.TASKS_WRITE},
        {"tasks_app.change_task"},
        OPERATOR,
    )
    BATCH_CANCEL = "cancel what waits in a batch", {Scope.TASKS_WRITE}, {"tasks_app.change_task"}, OPERATOR
    BATCH_RETRY = "run again what failed in a batch", {Scope.TASKS_WRITE}, {"tasks_app.change_task"}, OPERATOR, True

    SCHEDULE_READ = (
        "see schedules: template, ledger, preview, simulation",
        {Scope.SCHEDULES_READ},
        {"schedules_app.view_schedule"},
        VIEWER,
    )
    SCHEDULE_CREATE = "create schedules", {Scope.SCHEDULES_WRITE}, {"schedules_app.add_schedule"}, OPERATOR, True
    SCHEDULE_EDIT = "change a schedule", {Scope.SCHEDULES_WRITE}, {"schedules_app.change_schedule"}, OPERATOR, True
    SCHEDULE_PAUSE = "pause a schedule", {Scope.SCHEDULES_WRITE}, {"schedules_app.change_schedule"}, OPERATOR
    SCHEDULE_RESUME = "end its pause", {Scope.SCHEDULES_WRITE}, {"schedules_app.change_schedule"}, OPERATOR, True
    SCHEDULE_TRIGGER = "run it now", {Scope.SCHEDULES_WRITE}, {"schedules_app.change_schedule"}, OPERATOR, True
    SCHEDULE_BACKFILL = (
        "run its slots that did not run",
        {Scope.SCHEDULES_WRITE},
        {"schedules_app.change_schedule"},
        OPERATOR,
        True,
    )
    SCHEDULE_CLONE = "copy a schedule", {Scope.SCHEDULES_WRITE}, {"schedules_app.add_schedule"}, OPERATOR, True
    SCHEDULE_DELETE = "delete a schedule", {Scope.SCHEDULES_WRITE}, {"schedules_app.delete_schedule"}, OPERATOR
    FIRE_READ = "see the list of all slots", {Scope.SCHEDULES_READ}, {"schedules_app.view_schedulefire"}, VIEWER

    CALENDAR_READ = (
        "see blackout calendars",
        {Scope.SCHEDULES_READ},
        {"schedules_app.view_blackoutcalendar"},
        VIEWER,
    )
    CALENDAR_CREATE = (
        "create blackout calendars",
        {Scope.SCHEDULES_WRITE},
        {"schedules_app.add_blackoutcalendar"},
        ADMINISTRATOR,
    )
    CALENDAR_EDIT = (
        "change a blackout calendar, and so when the schedules that name it run",
        {Scope.SCHEDULES_WRITE},
        {"schedules_app.change_blackoutcalendar"},
        ADMINISTRATOR,
        True,
    )
    CALENDAR_DELETE = (
        "delete a blackout calendar that no schedule names",
        {Scope.SCHEDULES_WRITE},
        {"schedules_app.delete_blackoutcalendar"},
        ADMINISTRATOR,
    )

    QUEUE_READ = "see queues: rules, pauses, figures", {Scope.ADMIN}, {"flow_app.view_queue"}, VIEWER
    QUEUE_CREATE = "list a queue before its first task", {Scope.ADMIN}, {"flow_app.add_queue"}, OPERATOR
    QUEUE_PAUSE = "pause a queue", {Scope.ADMIN}, {"flow_app.change_queue"}, OPERATOR
    QUEUE_RESUME = "open a queue, whatever waits in it", {Scope.ADMIN}, {"flow_app.change_queue"}, OPERATOR
    QUEUE_EDIT = "set the rules of a queue", {Scope.ADMIN}, {"flow_app.change_queue"}, OPERATOR

    TARGET_READ = "see the rules of hosts that tasks call", {Scope.ADMIN}, {"flow_app.view_target"}, VIEWER
    TARGET_EDIT = "limit how tasks call a host", {Scope.ADMIN}, {"flow_app.change_target"}, OPERATOR

    FREEZE_READ = "see freezes, and how many tasks they hold", {Scope.ADMIN}, {"flow_app.view_freeze"}, VIEWER
    FREEZE_CREATE = (
        "freeze queues, targets and types of tasks: nothing of them starts",
        {Scope.ADMIN},
        {"flow_app.add_freeze"},
        OPERATOR,
    )
    FREEZE_THAW = "thaw a freeze, whatever waits behind it", {Scope.ADMIN}, {"flow_app.change_freeze"}, OPERATOR

    ENDPOINT_READ = (
        "see webhook endpoints, without their secrets",
        {Scope.ADMIN},
        {"workflows_app.view_webhookendpoint"},
        VIEWER,
    )
    ENDPOINT_CREATE = (
        "create webhook endpoints",
        {Scope.ADMIN},
        {"workflows_app.add_webhookendpoint"},
        OPERATOR,
    )
    ENDPOINT_EDIT = (
        "change a webhook endpoint",
        {Scope.ADMIN},
        {"workflows_app.change_webhookendpoint"},
        OPERATOR,
    )
    ENDPOINT_ROTATE = (
        "give a webhook endpoint another secret",
        {Scope.ADMIN},
        {"workflows_app.change_webhookendpoint"},
        OPERATOR,
    )
    ENDPOINT_REPLAY = (
        "tell a webhook endpoint once more of all ends of a time",
        {Scope.ADMIN},
        {"workflows_app.change_webhookendpoint"},
        OPERATOR,
    )
    ENDPOINT_DELETE = (
        "delete a webhook endpoint",
        {Scope.ADMIN},
        {"workflows_app.delete_webhookendpoint"},
        OPERATOR,
    )
    DELIVERY_READ = "see what was delivered to webhooks", {Scope.ADMIN}, {"workflows_app.view_delivery"}, VIEWER
    DELIVERY_REDELIVER = "deliver a message once more", {Scope.TASKS_WRITE}, {"tasks_app.add_task"}, OPERATOR

    WORKER_READ = "see workers and their load", ANY_KEY, {"workers_app.view_worker"}, VIEWER
    WORKER_DRAIN = "drain a worker", {Scope.ADMIN}, {"workers_app.change_worker"}, OPERATOR
    SCHEDULER_READ = "see schedulers", ANY_KEY, {"workers_app.view_scheduler"}, VIEWER
    RECOVERY_RUN = (
        "run system recovery",
        {Scope.ADMIN},
        {"tasks_app.change_task", "workers_app.change_worker"},
        OPERATOR,
    )

    HEALTH_READ = "see health, figures and metrics", ANY_KEY, STAFF, VIEWER
    SCHEMA_READ = "read the API's documentation", ANY_KEY, STAFF, VIEWER

    MARK_READ = "see marks, such as deploys", ANY_KEY, {"monitoring_app.view_mark"}, VIEWER
    MARK_CREATE = "set a mark", {Scope.TASKS_WRITE}, {"monitoring_app.add_mark"}, OPERATOR
    MARK_DELETE = "take a mark away", {Scope.TASKS_WRITE}, {"monitoring_app.delete_mark"}, OPERATOR

    AUDIT_READ = "see the audit trail", {Scope.AUDIT_READ}, {"access_app.view_auditevent"}, ADMINISTRATOR
    KEY_READ = "see API keys", NO_KEY, {"access_app.view_apikey"}, ADMINISTRATOR
    KEY_CREATE = "create API keys", NO_KEY, {"access_app.add_apikey"}, ADMINISTRATOR
    KEY_REVOKE = "revoke API keys", NO_KEY, {"access_app.change_apikey"}, ADMINISTRATOR

    def __init__(
        self,
        allows: str,
        scopes: Collection[Scope] | None,
        permissions: Collection[str],
        role: Role,
        runs: bool = False,
        by_task: bool = False,
    ) -> None:
        self.allows = allows
        self.scopes: frozenset[str] | None = None if scopes is None else frozenset(scopes)
        self.permissions = frozenset(permissions)
        self.role = role
        self.runs = runs
        self.by_task = by_task

    @property
    def ways(self) -> tuple[Action, ...]:
        """This and the action that it comes with: who may do either may do this."""
        return (self, _COMES_WITH[self]) if self in _COMES_WITH else (self,)

    def __str__(self) -> str:
        """As documents name it: ``task.read``."""
        return self.name.lower().replace("_", ".")


#: Who may do the second may do the first as well: tasks name their queue, their
#: host and who is told, and `why` says what holds it.
_COMES_WITH: Final = dict.fromkeys(
    (Action.QUEUE_READ, Action.TARGET_READ, Action.FREEZE_READ, Action.ENDPOINT_READ, Action.DELIVERY_READ),
    Action.TASK_READ,
)
