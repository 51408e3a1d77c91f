"""Mutants of who may do and see what: keys, scopes, roles, accounts, logins, what pages show."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, mutants_of

_ENGINE: Final = "integration/engine"
_PAGES: Final = "integration/test_admin_access.py"
_AUTHENTICATION: Final = "integration/test_api_authentication.py"

PEOPLE: Final[list[Mutant]] = [
    *mutants_of(
        "scope",
        "access_app/http/permissions.py",
        f"{_AUTHENTICATION} integration/test_api_urls.py integration/test_api_tasks.py",
        ("checked", 36, "        request.auth.require(action)\n", ""),
        ("key", 36, "if not isinstance(request.auth, Caller):", "if False:"),
        (
            "undeclared",
            36,
            "            return method not in view.http_method_names or not hasattr(view, method)",
            "            return True",
        ),
    ),
    *mutants_of(
        "access",
        "access_app/rights/callers.py",
        "unit/test_rights.py",
        ("scopes", 36, "missing = action.scopes - self.scopes", "missing = action.scopes - action.scopes"),
        ("either", 36, "        if all(lacking):", "        if lacking[0]:"),
        ("permissions", 36, "if not self.account.has_perm(permission))", "if False)"),
        ("type-of-keys", 39, "return None if scope in self.scopes else", "return None if True else"),
        ("type-of-people", 39, "return None if self.account.is_superuser else", "return None if True else"),
    ),
    *mutants_of(
        "access",
        "access_app/rights/task_types.py",
        "unit/test_rights.py",
        ("unknown-type", 39, "return _types().get(task_type, _UNKNOWN)", "return _types().get(task_type)"),
    ),
    *mutants_of(
        "grants",
        "access_app/rights/grants.py",
        "unit/test_rights.py",
        ("permissions", 36, " and all(map(person.may, allowed))]", "]"),
        ("types", 39, "if scope not in types and", "if"),
    ),
    *mutants_of(
        "roles",
        "access_app/roles.py",
        "integration/test_roles.py",
        ("own-group", 36, "        if made:\n", "        if True:\n"),
        ("fresh", 36, "        _create_permissions(apps.get_app_config(label), apps, alias)\n", "        pass\n"),
    ),
    *mutants_of(
        "shown",
        "tasks_app/api/outputs.py",
        "integration/test_api_access.py",
        ("task", 36, "if not caller.may(Action.TASK_READ):", "if False:"),
    ),
    *mutants_of(
        "shown-schedule",
        "schedules_app/api/outputs.py",
        "integration/test_api_access.py",
        ("template", 36, "else _HIDDEN", "else ()"),
    ),
    *mutants_of(
        "caller",
        "access_app/http/authentication.py",
        _AUTHENTICATION,
        ("csrf", 36, "        self.enforce_csrf(plain)  #", "        #"),
        ("staff", 36, "user.is_active and user.is_staff", "user.is_active"),
        ("bad-key", 36, "        if key is None:\n", "        if key is None and match:\n"),
    ),
    *mutants_of(
        "key",
        "access_app/sql/find_key.sql",
        f"{_ENGINE}/test_keys.py integration/test_key_owners.py",
        ("revoked", 36, " AND k.revoked_at IS NULL\n", "\n"),
        ("expired", 36, "(k.expires_at IS NULL OR k.expires_at > statement_timestamp())", "true"),
        ("owner-gone", 36, "(k.owner_id IS NULL OR o.id IS NOT NULL)", "true"),
        ("owner-active", 36, " AND o.is_active AND o.is_staff", " AND o.is_staff"),
        ("owner-staff", 36, " AND o.is_active AND o.is_staff", " AND o.is_active"),
    ),
    *mutants_of(
        "key-rights",
        "access_app/keys.py",
        "integration/test_key_owners.py",
        ("in-effect", 36, "    if permissions is not None:\n", "    if False:\n"),
        ("beyond", 36, "if scope not in access.grantable(Person(owner))]:", "if False]:"),
        (
            "hashed",
            40,
            "return hashlib.sha256(secret.encode()).digest()",
            "return secret.encode()[:32]",
            f"{_ENGINE}/test_keys.py",
        ),
    ),
    *mutants_of(
        "admin",
        "access_app/staff/base.py",
        "integration/test_admin_actions.py integration/test_admin_pages.py",
        ("permission", 36, "        if not self.may(request, action):\n", "        if False:\n"),
        ("type", 39, "        if self.refuses(request, action, [row]):\n", "        if False:\n", _PAGES),
        ("bulk-type", 39, "if not model_admin.refuses(", "if True or model_admin.refuses(", _PAGES),
        ("bulk-permission", 36, "return needs is not None and self.may(request, needs)", "return needs is not None"),
        ("reads-too", 36, "return person_of(request).may(self.reads) and person", "return person", _PAGES),
        ("get", 36, '            if request.method != "POST":\n', "            if False:\n"),
        ("view", 36, "        if not self.has_view_permission(request):", "        if False:"),
    ),
    *mutants_of(
        "account-lock",
        "scheduler_project/accounts/two_tabs.py",
        "integration/test_accounts.py",
        ("row", 36, "_default_manager.select_for_update()", "_default_manager"),
        ("stale", 14, 'if self.cleaned_data.get("seen") != self._there_is:', "if False:"),
    ),
    *mutants_of(
        "accounts",
        "scheduler_project/accounts/pages.py",
        "integration/test_accounts.py",
        (
            "change",
            36,
            "return super().has_change_permission(request, obj) and _may_manage(request, obj)",
            "return super().has_change_permission(request, obj)",
        ),
        (
            "delete",
            36,
            "return super().has_delete_permission(request, obj) and _may_manage(request, obj)",
            "return super().has_delete_permission(request, obj)",
        ),
        ("fields", 36, "return tuple(sorted(_FIELDS - rules.HARMLESS", "return () and tuple(sorted(_FIELDS"),
        ("forged", 36, "    if sent & _FIELDS - allowed:\n", "    if False:\n"),
        (
            "own-password",
            36,
            "if account == request.user and account.has_usable_password():",
            "if False:",
        ),
        (
            "group",
            36,
            "    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:\n"
            "        return request.user.is_superuser",
            "    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:\n"
            "        return super().has_change_permission(request, obj)",
        ),
    ),
    *mutants_of(
        "account-rules",
        "scheduler_project/accounts/rules.py",
        "integration/test_accounts.py",
        ("superuser", 36, "return not account.is_superuser and rights_of", "return rights_of"),
        ("subset", 36, " and rights_of(account) <= person.get_all_permissions()", ""),
        ("groups", 36, "Q(user=account) | Q(group__user=account)", "Q(user=account)"),
    ),
    *mutants_of(
        "account-trail",
        "scheduler_project/accounts/trail.py",
        "integration/test_accounts.py",
        ("hidden", 40, "if name in _SHOWN else", "if True else"),
        ("ties", 42, "    if names := _names(others):\n", "    if False:\n"),
        ("deleted", 42, "@receiver(post_delete, sender=User)\n", ""),
    ),
    *mutants_of(
        "login",
        "scheduler_project/accounts/throttle.py",
        "integration/test_logins.py",
        ("pair", 36, "(strangers.filter(username=name, ip_address=address), PER_PAIR),", ""),
        ("address", 36, "(strangers.filter(ip_address=address), PER_ADDRESS),", ""),
        ("account", 36, "(strangers.filter(username=name), PER_ACCOUNT),", ""),
        ("known", 36, "    if browser := browser_of(request, name):\n", "    if browser := '':\n"),
        ("known-limit", 36, "PER_KNOWN_BROWSER)]", "9_999)]"),
        ("network", 36, 'if ":" in address else address or "::"', 'if False else address or "::"'),
        ("forgive", 36, "        if not browser:\n", "        if False:\n"),
        ("kept", 40, '.update(get_data="", post_data="", http_accept="", path_info="")', ""),
    ),
    *mutants_of(
        "login-page",
        "scheduler_project/accounts/logins.py",
        "integration/test_logins.py",
        ("session", 36, "request.session.set_expiry(", "str("),
        (
            "old-password",
            36,
            "if authenticate(self._request, username=self.user.get_username(), password=old) != self.user:",
            "if not self.user.check_password(old):",
        ),
    ),
    *mutants_of(
        "login-staff",
        "scheduler_project/accounts/backends.py",
        "integration/test_logins.py",
        ("only", 36, ' and bool(getattr(user, "is_staff", False))', ""),
        ("places", 36, "            raise Busy\n", "            places.acquire(timeout=5)\n"),
    ),
    *mutants_of(
        "login-trail",
        "scheduler_project/accounts/login_trail.py",
        "integration/test_logins.py",
        ("full", 35, "    if _is_full(target):\n", "    if False:\n"),
        ("printable", 40, "letter if letter.isprintable() else", "letter if True else"),
    ),
    *mutants_of(
        "login-settings",
        "scheduler_project/settings.py",
        "integration/test_logins.py",
        (
            "backend",
            36,
            '"axes.backends.AxesStandaloneBackend", "scheduler_project.accounts.backends.StaffBackend"',
            '"scheduler_project.accounts.backends.StaffBackend"',
        ),
        (
            "prolong",
            36,
            "AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False",
            "AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = True",
        ),
    ),
]
