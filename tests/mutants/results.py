"""Mutants of results that flow from task to task: references, what is taken, and what is kept of it."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, mutants_of

_REFERENCES: Final = "unit/test_references.py"
_API: Final = "integration/test_api_used_inputs.py"
_USED: Final = "integration/engine/test_used_inputs.py"

RESULTS: Final[list[Mutant]] = [
    *mutants_of(
        "results",
        "tasks_app/references.py",
        _REFERENCES,
        ("places", 59, "            problems[name] = str(error)\n            continue", "            kind = Kind.TEXT"),
        ("null", 59, 'raise ValueError("is null, and must become a text")', 'return ""'),
        ("most", 59, "if count > MOST_REFERENCES:", "if False:"),
    ),
    *mutants_of(
        "results",
        "tasks_app/executors/shell_payload.py",
        _REFERENCES,
        ("script", 59, "shell is not None and not _has_operand(", "False and not _has_operand("),
        ("option-word", 59, "if not of_option and not (", "if not ("),
        ("code", 59, "if _CHOOSE_CODE.fullmatch(name):", "if False:"),
    ),
    *mutants_of(
        "results",
        "tasks_app/new_tasks.py",
        f"{_REFERENCES} {_API}",
        ("parents", 59, "if MARK in text and not problems:", "if False:"),
        ("read", 59, "needs.append(Action.TASK_READ)", "pass"),
    ),
    *mutants_of(
        "results",
        "tasks_app/api/bulk.py",
        _API,
        ("bulk-read", 59, "if MARK in task.text and takes_results(", "if False and takes_results("),
    ),
    *mutants_of(
        "results",
        "tasks_app/api/views.py",
        _API,
        ("edit-read", 59, 'if takes_results(task.type, changes.get("payload")):', "if False:"),
    ),
    *mutants_of(
        "results",
        "tasks_app/services.py",
        _API,
        ("edit", 59, 'check_inputs(task.pk, task.type, changes.get("payload"))', "pass"),
        ("clone", 59, "return depending_on_inputs(NewTask(", "return (NewTask("),
    ),
    *mutants_of(
        "results",
        "tasks_app/pointers.py",
        "unit/test_pointers.py",
        ("order", 59, '.replace("~1", "/").replace("~0", "~")', '.replace("~0", "~").replace("~1", "/")'),
        ("index", 59, "_INDEX.fullmatch(token) and int(token)", "token.isdigit() and int(token)"),
    ),
    *mutants_of(
        "results",
        "workers_app/inputs.py",
        "integration/engine/test_inputs.py",
        ("fence", 59, "        if not kept:", "        if False:"),
        ("check", 59, "                executor.validate(payload)", "                pass"),
        ("size", 59, "            if size > MAX_PAYLOAD_BYTES:", "            if False:"),
        ("away", 59, "            except DatabaseAway:\n", "            except ZeroDivisionError:\n"),
        ("pointless", 59, "problem.code, str(problem), retryable=False", "problem.code, str(problem), retryable=True"),
    ),
    *mutants_of(
        "results",
        "tasks_app/sql/keep_inputs.sql",
        _USED,
        ("later", 59, " WHERE i.attempt <= excluded.attempt", ""),
        ("running", 59, " AND t.status = %(running)s", ""),
        ("start", 59, "\n   AND t.started_at = %(started_at)s::timestamptz", ""),
    ),
    *mutants_of(
        "results",
        "tasks_app/used_inputs.py",
        _USED,
        ("field", 59, '(*used["field"].split("."), *used["path"].split("/"))', 'used["path"].split("/")'),
        ("in-text", 59, "if isinstance(value, str) and value.lstrip()", "if False and value.lstrip()"),
    ),
]
