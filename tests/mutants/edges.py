"""Mutants of what people and programs meet: changes asked for, keys, scopes, egress, SHELL, settings, migrations."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, mutants_of

_ENGINE: Final = "integration/engine"
_SERVICES: Final = f"{_ENGINE}/test_services.py"
_TRANSITIONS: Final = f"{_ENGINE}/test_transitions.py"
_AUTHENTICATION: Final = "integration/test_api_authentication.py"

EDGES: Final[list[Mutant]] = [
    *mutants_of(
        "change",
        "tasks_app/transitions.py",
        _TRANSITIONS,
        ("if-match", 14, "if versions is not None and task.version not in versions:", "if False:"),
        ("lock", 14, "select_for_update(no_key=True).", ""),
        ("version", 14, 'version=F("version") + 1, ', ""),
        ("edit", 13, "if task.status not in WAITING:", "if False:"),
        ("retry", 13, "if task.status not in FINAL:", "if False:"),
        ("cancel-flag", 16, '"finished_at", "cancel_requested_at",', '"finished_at",'),
        ("counts", 17, '"retry_count": 0, "crash_count": 0}', '"retry_count": 0}'),
        ("back", 13, "**changes, **back)", "**changes)"),
        ("audit", 42, "    audit.record_task(actor, action", "    0 and audit.record_task(actor, action"),
    ),
    *mutants_of(
        "ask",
        "tasks_app/services.py",
        _SERVICES,
        ("fingerprint", 2, "if bytes(held.fingerprint) != idempotency.fingerprint:", "if False:"),
        ("claim", 2, "if cursor.rowcount == 1:", "if True:"),
        (
            "wake",
            25,
            "transaction.on_commit(lambda: wakeups.notify_schedulers(only_new=time.monotonic() - began < _JUST_NOW))",
            "wakeups.notify_schedulers(only_new=time.monotonic() - began < _JUST_NOW)",
        ),
        (
            "wake-stop",
            16,
            "transaction.on_commit(lambda: wakeups.notify_stop(worker_id))",
            "    wakeups.notify_stop(worker_id)",
        ),
        (
            "pause",
            4,
            'SchedulerPass.objects.select_for_update().get(name="assign")',
            'SchedulerPass.objects.get(name="assign")',
        ),
        ("pause-back", 4, '        _hand_back(queue=name, actor=actor, reason="its queue was paused")\n', ""),
    ),
    *mutants_of(
        "table",
        "tasks_app/migrations/0001_initial.py",
        f"{_ENGINE}/test_concurrency_keys.py::TestConcurrencyKeys {_SERVICES}::TestIdempotency",
        (
            "key-held",
            19,
            "fields=('queue', 'concurrency_key'), name",
            "fields=('queue', 'concurrency_key', 'id'), name",
        ),
        ("idempotency", 2, "fields=('created_by', 'key'), name", "fields=('created_by', 'key', 'id'), name"),
    ),
    *mutants_of(
        "trigger",
        "tasks_app/migrations/0002_storage.py",
        f"{_ENGINE}/test_concurrency_keys.py::TestConcurrencyKeys",
        ("release", 24, "     SET key_blocked = false\n", "     SET key_blocked = key_blocked\n"),
        ("owner", 24, "             OR OLD.worker_id IS NOT NULL AND NEW.worker_id IS NULL))", "))"),
        ("move", 24, " OR NEW.queue <> OLD.queue", ""),
        ("put-off", 24, " OR NEW.run_at > OLD.run_at", ""),
        ("first", 19, "                ORDER BY priority DESC, run_at, id\n", "                ORDER BY id DESC\n"),
        ("skip", 34, "                FOR NO KEY UPDATE SKIP LOCKED);", "                FOR NO KEY UPDATE);"),
    ),
    *mutants_of(
        "retry",
        "tasks_app/retries.py",
        "unit/test_retries.py property/test_retries_properties.py",
        ("count", 17, " or retry_count >= max_retries", " or retry_count > max_retries"),
        ("cap", 17, "max(delay, min(floor, self.max_delay))", "max(delay, floor)"),
        ("half", 17, "delay / 2 + delay / 2 * chance", "delay * chance"),
    ),
    *mutants_of(
        "egress",
        "tasks_app/executors/egress.py",
        "unit/test_egress.py",
        ("every-address", 38, "for *_, sockaddr in found:", "for *_, sockaddr in found[:1]:"),
        ("peer", 38, "            self._judge(host, sock.getpeername())\n", ""),
        ("table", 38, '"169.254.0.0/16"', '"169.254.0.0/17"'),
        ("isatap", 38, "(isatap or any(", "(any("),
        (
            "teredo",
            38,
            "        yield IPv4Address(bits & 0xFFFF_FFFF ^ 0xFFFF_FFFF)",
            "        yield IPv4Address(bits & 0xFFFF_FFFF)",
        ),
        ("unicast", 38, 'or address in _GLOBAL_UNICAST else "a non-public"', 'or True else "a non-public"'),
        ("no-address", 38, 'reason = "something that is no IP address"', "reason = None"),
    ),
    *mutants_of(
        "shell",
        "tasks_app/executors/shell_policy.py",
        "unit/test_shell_policy.py unit/test_shell_payload.py",
        ("enabled", 39, "if not config.shell_tasks_enabled:", "if False:"),
        ("listed", 39, 'or payload["argv"][0] not in config.shell_allowed_commands:', "or False:"),
        ("command", 39, 'if "argv" not in payload or', 'if "argv" in payload and'),
        ("variables", 39, ".keys() - set(config.shell_allowed_environment)):", ".keys() & {'PATH'}):"),
        ("environment", 39, " if _INHERITED.fullmatch(name)}", "}"),
        ("relative", 39, 'if config.shell_allowed_commands and "PATH" in inherited:', "if False:"),
    ),
    *mutants_of(
        "scope",
        "tasks_app/api/permissions.py",
        f"{_AUTHENTICATION} integration/test_api_urls.py integration/test_api_tasks.py",
        (
            "checked",
            36,
            "            require_scope(request.auth, scope)\n        return True",
            "            pass\n        return True",
        ),
        ("key", 36, "if not isinstance(request.auth, Caller):", "if False:"),
        ("type", 39, "return scope if scope is not None and scope not in caller.scopes else None", "return None"),
        (
            "undeclared",
            36,
            "            return method.lower() not in view.http_method_names or not hasattr(view, method.lower())",
            "            return True",
        ),
    ),
    *mutants_of(
        "caller",
        "tasks_app/api/authentication.py",
        _AUTHENTICATION,
        ("csrf", 36, "        self.enforce_csrf(plain)  #", "        #"),
        ("staff", 36, "user.is_active and user.is_staff", "user.is_active"),
        ("bad-key", 36, "        if key is None:\n", "        if key is None and match:\n"),
    ),
    *mutants_of(
        "key",
        "tasks_app/keys.py",
        f"{_ENGINE}/test_keys.py",
        ("revoked", 36, "AND revoked_at IS NULL AND (", "AND ("),
        ("expired", 36, "(expires_at IS NULL OR expires_at > statement_timestamp())", "true"),
        ("hashed", 40, "return hashlib.sha256(secret.encode()).digest()", "return secret.encode()[:32]"),
    ),
    *mutants_of(
        "if-match",
        "tasks_app/api/conditions.py",
        "unit/test_api_conditions.py integration/test_api_tasks.py",
        ("read", 14, 'if header is None or header.strip() == "*":', "if True:"),
        ("garbage", 14, "    if versions is None:\n", "    if False:\n"),
    ),
    *mutants_of(
        "admin",
        "tasks_app/admin/base.py",
        "integration/test_admin_actions.py integration/test_admin_pages.py",
        ("permission", 36, 'if not getattr(self, f"has_{self.posts[word]}_permission")(request):', "if False:"),
        ("get", 36, '            if request.method != "POST":\n', "            if False:\n"),
        ("view", 36, "if not self.has_view_or_change_permission(request):", "if False:"),
    ),
    *mutants_of(
        "drain",
        "workers_app/heartbeats.py",
        f"{_ENGINE}/test_heartbeats.py integration/test_api_queues.py integration/test_admin_actions.py",
        ("audit", 42, '            audit.record(actor, "worker.drain_requested", f"worker:{worker_id}")\n', ""),
        ("lock", 29, "Worker.objects.select_for_update().filter", "Worker.objects.filter"),
        ("once", 29, "        if worker.state == WorkerState.ACTIVE:\n", "        if True:\n"),
        ("wake", 29, "        transaction.on_commit(lambda: wakeups.notify_stop(worker_id))\n", ""),
    ),
    *mutants_of(
        "drain-page",
        "workers_app/admin.py",
        "integration/test_admin_actions.py",
        (
            "permission",
            36,
            '@admin.action(description="Drain", permissions=["change"])',
            '@admin.action(description="Drain")',
        ),
    ),
    *mutants_of(
        "drain-api",
        "workers_app/api/views.py",
        _AUTHENTICATION,
        ("scope", 36, "(Scope.ADMIN,)", "()"),
    ),
    *mutants_of(
        "setting",
        "tasks_app/conf.py",
        "unit/test_conf.py",
        ("margin", 5, "max(timedelta(seconds=1), self.heartbeat_timeout / 5)", "self.heartbeat_timeout / 5"),
        ("interval", 12, "if config.heartbeat_interval > usable * 3 / 4:", "if False:"),
        ("delays", 17, "if config.retry_base_delay > config.retry_max_delay:", "if False:"),
    ),
]
