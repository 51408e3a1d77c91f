"""Mutants of callbacks: each end told once, to whom it may be, signed or not at all."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, mutants_of

_TELLING: Final = "integration/workflows/test_telling.py"
_SIGNING: Final = "integration/workflows/test_signing.py"
_LATE: Final = "integration/workflows/test_late_results.py"
_LISTENING: Final = "integration/workflows/test_listening.py"
_EVENTS: Final = "unit/test_events.py"
_API: Final = "integration/test_api_webhooks.py"

CALLBACKS: Final[list[Mutant]] = [
    *mutants_of(
        "told",
        "workflows_app/sql/take_endings.sql",
        _TELLING,
        ("alone", 61, "(SELECT got FROM alone)", "true"),
        ("skip", 61, " SKIP LOCKED", ""),
        ("again", 61, " AND t.notifies\n", "\n"),
        ("attempt", 61, " AND e.task_status = t.status", ""),
    ),
    *mutants_of(
        "told",
        "workflows_app/sql/clear_parents.sql",
        _TELLING,
        ("mark", 61, " AND NOT t.notifies", ""),
    ),
    *mutants_of(
        "told",
        "workflows_app/callbacks/telling.py",
        _TELLING,
        ("own", 61, "for end in ends if end.id not in own)", "for end in ends)"),
        ("frozen", 61, "        cursor.execute(_UNLESS_FROZEN)\n", ""),
        ("broken", 61, "but=_held_back())", "but=())"),
        ("others", 61, "        return _tell_one_by_one(session, cursor)\n", "        return 0\n"),
        ("clear", 61, "SET notifies = false", "SET notifies = notifies"),
        (
            "defect",
            61,
            '        except Exception:\n            log.exception("telling_failed")',
            "        except ():\n            pass",
        ),
    ),
    *mutants_of(
        "told",
        "workflows_app/callbacks/delivering.py",
        _TELLING,
        ("order", 61, "if waits:\n        add_edges", "if False:\n        add_edges"),
        ("ended", 61, " AND finished_at IS NULL ORDER BY id FOR", " ORDER BY id FOR"),
        ("lanes", 61, "self.id.int % LANES", "0"),
    ),
    *mutants_of(
        "told",
        "workflows_app/sql/heed_deliveries.sql",
        _TELLING,
        ("disabled", 61, "disabled = h.disabled,", "disabled = NULL,"),
    ),
    *mutants_of(
        "told",
        "tasks_app/transitions.py",
        _TELLING,
        ("before", 61, "    if task.notifies:\n", "    if False:\n"),
        ("retry", 61, "    if _is_told(task):\n", "    if False:\n"),
        ("edit", 61, '    if columns.get("callback") is not None or (', "    if ("),
        ("moved", 61, ' or ("queue" in columns and _is_heard(columns["queue"]))', ""),
    ),
    *mutants_of(
        "told",
        "tasks_app/many.py",
        _TELLING,
        ("all-before", 61, "    notices.tell_now(cursor, ids)\n", ""),
    ),
    *mutants_of(
        "told",
        "tasks_app/sql/retry_tasks.sql",
        _TELLING,
        (
            "all-retry",
            61,
            "notifies = e.told, has_dependents = t.has_dependents OR e.told OR t.batch_id IS NOT NULL,",
            "",
        ),
    ),
    *mutants_of(
        "told",
        "tasks_app/sql/change_tasks.sql",
        _TELLING,
        ("all-moved", 61, "notifies = t.notifies OR w.told, has_dependents = t.has_dependents OR w.told,", ""),
    ),
    *mutants_of(
        "told",
        "tasks_app/notices.py",
        _TELLING,
        ("many", 61, 'if not any(told) or "notifies" in columns:', "if True:"),
        ("unknown", 61, "    if names and _Known", "    if False and _Known"),
    ),
    *mutants_of(
        "late",
        "workers_app/late_results.py",
        _LATE,
        ("told", 61, "told = _tell(session, rows) if rows else 0", "told = 0"),
        ("kept", 7, "    except Exception:\n        log", "    except KeyError:\n        log"),
    ),
    *mutants_of(
        "late-events",
        "workflows_app/callbacks/events.py",
        _LATE,
        ("asked", 61, 'callback.get("on", ENDS)', 'callback.get("on", list(CallbackOn))'),
    ),
    *mutants_of(
        "late-marks",
        "workflows_app/callbacks/listening.py",
        _LATE,
        ("none", 61, " AND NOT events <@ '{task.late_result}'", ""),
    ),
    *mutants_of(
        "defaults",
        "tasks_app/notices.py",
        _LISTENING,
        ("nobody", 61, "    return None if own == _NOBODY else own\n", "    return own\n"),
        (
            "own",
            61,
            "    if own is None:\n        return listening",
            "    if own != _NOBODY:\n        return listening",
        ),
        ("deliveries", 61, 'if "notifies" not in columns else ()', "if True else ()"),
    ),
    *mutants_of(
        "defaults-schedule",
        "schedules_app/templates.py",
        _LISTENING,
        ("own", 61, "if callback and new.callback is None else new, text)", "if callback else new, text)"),
    ),
    *mutants_of(
        "defaults-queue",
        "flow_app/queues.py",
        _LISTENING,
        ("checked", 61, "    check_endpoints([after.callback])\n", ""),
        ("forget", 61, "    transaction.on_commit(forget)\n", ""),
    ),
    *mutants_of(
        "events",
        "workflows_app/callbacks/events.py",
        _EVENTS,
        ("once", 61, "elif receiver.hears(end):", "if receiver.hears(end):"),
        ("end", 61, "which = end.version if end.late_at is None else", "which = 0 if end.late_at is None else"),
        (
            "on",
            61,
            'return callback if _WORDS[end.event] in callback.get("on", ENDS) else {}',
            "return callback",
        ),
        ("large", 61, "len(result.encode()) > MOST_OF_A_RESULT", "False"),
        ("queues", 61, "(self.queues is None or end.queue in self.queues) and ", ""),
    ),
    *mutants_of(
        "events",
        "workflows_app/callbacks/endings.py",
        _EVENTS,
        ("gone", 61, "if end.status_code == _GONE:", "if False:"),
        ("arrived", 61, "            failing_since = None\n", "            pass\n"),
        ("days", 61, "now - failing_since >= GIVEN_UP_AFTER", "False"),
    ),
    *mutants_of(
        "signed",
        "workflows_app/callbacks/signing.py",
        _SIGNING,
        ("body", 61, "not isinstance(body, str) or not hmac", "False and not hmac"),
        ("url", 61, 'found.url or payload["url"]', 'payload["url"]'),
        ("disabled", 61, "if found.disabled is not None:", "if False:"),
        ("deleted", 61, "if found.url is None:", "if False:"),
        ("gone", 61, '(outcome.result or {}).get("statusCode") != _GONE', "True"),
        ("overlap", 61, "CASE WHEN e.previous_until > now() THEN e.previous_secret END", "e.previous_secret"),
    ),
    *mutants_of(
        "signed",
        "workflows_app/callbacks/secrets.py",
        _SIGNING,
        ("time", 61, "{webhook_id}.{timestamp}.", "{webhook_id}.0."),
    ),
    *mutants_of(
        "again",
        "workflows_app/callbacks/redelivering.py",
        _API,
        ("open", 61, "if task.finished_at is None:", "if False:"),
        ("disabled", 61, "if endpoint.disabled is not None:", "if False:"),
        ("changed", 61, "if not isinstance(body, str) or hashlib", "if False and hashlib"),
        ("most", 61, "if len(ends) > MOST_REPLAYED:", "if False:"),
    ),
    *mutants_of(
        "again",
        "workflows_app/sql/find_endings.sql",
        _API,
        ("own", 61, "\n     AND NOT EXISTS (SELECT FROM deliveries d WHERE d.id = t.id)", ""),
        ("to", 61, " AND t.finished_at < %(to)s", " AND %(to)s IS NOT NULL"),
    ),
    *mutants_of(
        "again",
        "tasks_app/retries.py",
        "unit/test_retries.py",
        ("last", 61, "self.delays[min(n, len(self.delays)) - 1]", "self.delays[0]"),
        ("cap", 61, "base_delay, max_delay = delays[0], max(delays)", "pass"),
    ),
]
