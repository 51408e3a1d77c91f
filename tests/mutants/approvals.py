"""Mutants of approvals: who decides, about what, once, and that nothing runs without it."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, mutants_of

_APPROVING: Final = "integration/engine/test_approving.py"
_APPROVALS: Final = "integration/test_approvals.py"
_PROMISE: Final = 65

APPROVALS: Final[list[Mutant]] = [
    *mutants_of(
        "approval-asked",
        "tasks_app/approving.py",
        _APPROVING,
        ("first", _PROMISE, "is not None and gate == Gate.OPEN:", "is not None and False:"),
        ("parents", _PROMISE, "    if gate != Gate.OPEN:\n        return {}\n", ""),
        ("anew", _PROMISE, "not _UNASKED.issuperset(changed)", "False"),
        ("priority", _PROMISE, 'frozenset({"priority"})', "frozenset[str]()"),
        ("run-again", _PROMISE, "(Gate.APPROVAL, Now(), None if", "(Gate.OPEN, None, None if"),
        ("group", _PROMISE, "    if problem := group_problem(approvals):\n", "    if False:\n", _APPROVALS),
    ),
    *mutants_of(
        "approval-who",
        "tasks_app/approving.py",
        _APPROVALS,
        ("requester", _PROMISE, '() if approval.get("allowRequester") else requesters_of(task)', "()"),
        ("allowed", _PROMISE, '() if approval.get("allowRequester") else requesters_of(task)', "requesters_of(task)"),
        ("creator", _PROMISE, "{task.created_by, *events", "{*events"),
        ("editor", _PROMISE, '("task.edited", ', "("),
        ("retrier", _PROMISE, ', "task.retried")', ")"),
        ("schedule", _PROMISE, 'if task.created_by.startswith("schedule:"):', "if False:"),
    ),
    *mutants_of(
        "approval-who",
        "access_app/approvers.py",
        _APPROVALS,
        ("belongs", _PROMISE, "    if not (_is_member(", "    if False and not (_is_member("),
        ("member", _PROMISE, "filter(name=group, user__username=name)", "filter(name=group)"),
        (
            "key-in-group",
            _PROMISE,
            "if isinstance(caller, Person) else None",
            "if isinstance(caller, Person) else caller.name",
        ),
        ("account", _PROMISE, 'return names | {f"user:{owner}" for owner in owners}', "return names"),
        ("scope", _PROMISE, "return scope in caller.scopes", "return True"),
        ("grantable", _PROMISE, " and scope in grantable(caller)", ""),
    ),
    *mutants_of(
        "approval-decided",
        "tasks_app/transitions.py",
        _APPROVING,
        ("gate", _PROMISE, "task.status != TaskStatus.PENDING or task.gate != Gate.APPROVAL", "False"),
        ("allow", _PROMISE, "    allow(task)\n", ""),
        ("late", _PROMISE, "approval_ends_at__lte=Now()", 'approval_ends_at__lte=F("created_at")'),
        ("time", _PROMISE, 'due = Greatest(F("run_at"), Now())', "due = Now()"),
        ("code", _PROMISE, '"end_reason": ErrorCode.REJECTED, ', ""),
    ),
    *mutants_of(
        "approval-time-out-approvals",
        "tasks_app/sql/time_out_approvals.sql",
        _APPROVING,
        ("again", _PROMISE, "WHERE t.approval_ends_at <= now() AND t.gate = 3 AND", "WHERE"),
        ("wait", _PROMISE, " SKIP LOCKED", ""),
        ("due", _PROMISE, "WHERE approval_ends_at <= now() AND approval_asked_at", "WHERE approval_asked_at"),
        ("fail", _PROMISE, "WHEN 'fail' THEN 'FAILED' ", ""),
        ("run", _PROMISE, "WHEN 'run' THEN 'PENDING' ", ""),
        ("open", _PROMISE, "gate = CASE WHEN l.next = 'PENDING' THEN 0 ELSE t.gate END", "gate = t.gate"),
        ("reason", _PROMISE, "WHEN l.next <> 'PENDING' THEN 'APPROVAL_TIMEOUT'", "WHEN false THEN ''"),
    ),
    *mutants_of(
        "approval-open-dependents",
        "workflows_app/sql/open_dependents.sql",
        _APPROVING,
        ("gate", _PROMISE, "CASE WHEN t.approval IS NULL THEN 0 ELSE 3 END", "0"),
    ),
    *mutants_of(
        "approval-retry-tasks",
        "tasks_app/sql/retry_tasks.sql",
        _APPROVING,
        ("gate", _PROMISE, "CASE WHEN t.approval IS NULL THEN 0 ELSE 3 END", "0"),
    ),
    *mutants_of(
        "approval-rerun-tasks",
        "tasks_app/sql/rerun_tasks.sql",
        _APPROVING,
        (
            "since",
            _PROMISE,
            "WHEN t.approval IS NOT NULL AND t.id NOT IN (SELECT child_id FROM armed) THEN now()",
            "WHEN true THEN now()",
        ),
    ),
    *mutants_of(
        "approval-change-tasks",
        "tasks_app/sql/change_tasks.sql",
        _APPROVING,
        ("anew", _PROMISE, "WHEN w.asks THEN 3", "WHEN false THEN 3"),
        ("priority", _PROMISE, "%(queue)s::text IS NOT NULL AND approval IS NOT NULL", "approval IS NOT NULL"),
    ),
    *mutants_of(
        "approval-page",
        "tasks_app/admin/tasks.py",
        _APPROVALS,
        (
            "version",
            _PROMISE,
            '"reason": reason_of(request), "versions": _shown_version(request)}',
            '"reason": reason_of(request), "versions": None}',
        ),
    ),
]
