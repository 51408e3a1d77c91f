"""Mutants of task tokens: whose they are, what they are good for, and until when."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, mutants_of

_UNIT: Final = "unit/test_task_tokens.py"
_ATTEMPTS: Final = "integration/engine/test_attempts.py"
_API: Final = "integration/test_api_task_tokens.py"

TOKENS: Final[list[Mutant]] = [
    *mutants_of(
        "tokens",
        "tasks_app/task_tokens.py",
        _UNIT,
        ("signature", 64, "if not any(hmac.compare_digest(", "if not any(True or hmac.compare_digest("),
        ("fallbacks", 64, "(settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)", "(settings.SECRET_KEY,)"),
        ("own-key", 64, "        return own\n", "        pass\n"),
        ("own-keys", 64, 'tuple(key.strip() for key in text.split(","))', 'tuple(text.split(",")[:1])'),
        ("start", 64, ".{(fence.started_at - _EPOCH) // _MICROSECOND}", ".{1}"),
        ("form", 64, "_FORM.fullmatch(token)", "_FORM.match(token)"),
        ("table", 64, "return None if action.by_task else", "return None if True else"),
        ("scope", 64, "if scope == self.scope:", "if True:"),
        ("names", 64, "{without(name, token): without(", "{name: without("),
    ),
    *mutants_of(
        "tokens",
        "tasks_app/sql/hold_attempt.sql",
        _ATTEMPTS,
        ("attempt", 64, " AND attempt = %(attempt)s", "", _API),
        ("started", 64, " AND started_at = %(started_at)s", ""),
        ("running", 64, " AND status = 'RUNNING'", ""),
        ("lock", 64, "\n   FOR SHARE", ""),
    ),
    *mutants_of(
        "tokens",
        "tasks_app/sql/report_progress.sql",
        _ATTEMPTS,
        ("report-attempt", 64, "(%(attempt)s::int IS NULL OR attempt = %(attempt)s)", "true", _API),
        ("report-running", 64, " AND status = 'RUNNING'", ""),
        ("report-lock", 64, "\n     FOR SHARE", ""),
        ("done", 64, "\n      OR (excluded.percent = 100 AND p.percent IS DISTINCT FROM 100)", ""),
        ("rest", 64, " OR p.reported_at <= excluded.reported_at - %(rest)s::interval", " OR true"),
    ),
    *mutants_of(
        "tokens",
        "tasks_app/api/own.py",
        _API,
        ("own", 64, "if caller.fence.task_id != task_id:", "if False:"),
        ("inputs", 64, "        hold_attempt(fence)\n", ""),
    ),
    *mutants_of(
        "tokens",
        "workflows_app/own_batch.py",
        _API,
        ("batch", 64, "if task.batch_id != batch_id:", "if False:"),
        ("others", 64, "        _refuse_others(members)\n", ""),
        ("type", 64, "scope=type_scope(task.type)", 'scope="tasks:shell"'),
        ("creator", 64, ", task.created_by, caller.fence)", ", caller.name, caller.fence)"),
        ("keep", 64, "keep_with(self.caller.name, idempotency, self.fence.task_id)", "pass"),
        ("audit", 64, "        audit.record(self.caller.name", "        0 and audit.record(self.caller.name"),
    ),
    *mutants_of(
        "tokens",
        "workflows_app/batches.py",
        "integration/workflows/test_own_batch.py",
        ("held", 64, "                hold_attempt(members.added_by)\n", "                pass\n"),
    ),
    *mutants_of(
        "tokens",
        "workers_app/processes/held.py",
        "unit/test_showing.py",
        ("silence", 64, "return silenced(outcome, self.execution.token)", "return outcome"),
    ),
    *mutants_of(
        "tokens",
        "tasks_app/executors/base.py",
        "unit/test_showing.py",
        ("repr", 64, "token: str | None = field(default=None, repr=False)", "token: str | None = field(default=None)"),
    ),
    *mutants_of(
        "tokens",
        "tasks_app/executors/http.py",
        "integration/test_http_redirects.py::TestRedirects",
        (
            "origin",
            64,
            '        headers["Connection"] = "close"',
            '        headers["X-Task-Token"] = str(execution.token)\n        headers["Connection"] = "close"',
        ),
    ),
    *mutants_of(
        "tokens",
        "monitoring_app/views.py",
        _API,
        ("probe", 64, "seen = isinstance(caller, Caller) and caller.may(Action.HEALTH_READ)", "seen = bool(caller)"),
    ),
]
