"""Users and groups in the staff UI: who changes which field of whose account, and what the audit trail says of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from scheduler_project.accounts import rules
from scheduler_project.accounts.two_tabs import state_of
from tests.support.accounts import (
    ACCOUNTS,
    FIELDS,
    GROUPS,
    HARMLESS,
    NEW,
    OTHER_PASSWORD,
    PASSWORD,
    PEOPLE,
    USERS,
    change,
    form_of,
    granted,
    new_value,
    person,
    state,
)
from tests.support.forms import forms_of

pytestmark = pytest.mark.django_db


@contextmanager
def undone() -> Iterator[None]:
    """Whatever is done meanwhile is rolled back."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def may(name: str, account: str, field: str) -> bool:
    """The rule, in other words than the product's."""
    if field in ("password", "last_login", "date_joined"):
        return False
    if name == "root":
        return True
    if field not in HARMLESS or account == "chief":
        return False
    return name == "everything" or (name in ("helper", "keeper") and account == "ordinary")


class TestFieldsOfUsers:
    def test_of_this_django_are_known(self) -> None:
        assert set(NEW) == set(FIELDS)

    @pytest.mark.usefixtures("unrendered")
    @pytest.mark.parametrize("account", ACCOUNTS)
    @pytest.mark.parametrize("name", PEOPLE)
    def test_are_changed_by_those_who_may(
        self, sign_in: Callable[[str], Client], accounts: dict[str, User], name: str, account: str
    ) -> None:
        browser, target = sign_in(name), accounts[account]
        sent, before = form_of(browser, f"{USERS}{target.pk}/change/"), state(target)
        new = {field: new_value(field, account) for field in FIELDS}
        if not any(may(name, account, field) for field in FIELDS):
            assert change(browser, target, sent, **new) == 403
            assert state(target) == before
            return
        for field in FIELDS:
            with undone():
                status = change(browser, target, sent, **{field: new[field]})
                after = state(target)
                changed = {key for key in FIELDS if before[key] != after[key]}
                assert changed == ({field} if may(name, account, field) else set()), (field, status)
                assert status == 403 or name == "root" or may(name, account, field), field

    @pytest.mark.parametrize("field", sorted(set(FIELDS) - HARMLESS))
    def test_of_ones_own_are_no_exception(self, sign_in: Callable[[str], Client], field: str) -> None:
        browser = sign_in("helper")
        helper = User.objects.get(username="helper")
        before = state(helper)
        url = f"{USERS}{helper.pk}/change/?_popup=1"
        for extra in ("_popup", "_continue", "_saveasnew", "_to_field", "_addanother"):
            sent = {"is_active": "on", field: new_value(field), extra: "1"}
            assert browser.post(url, sent).status_code == 403
        assert state(helper) == before

    def test_are_shown_and_not_asked_for(self, sign_in: Callable[[str], Client], accounts: dict[str, User]) -> None:
        browser = sign_in("helper")
        page = browser.get(f"{USERS}{accounts['ordinary'].pk}/change/")
        assert set(page.context["adminform"].form.fields) == HARMLESS | {"password", "seen"}
        for name in ("operator", "chief"):
            assert browser.get(f"{USERS}{accounts[name].pk}/change/").context["adminform"].form.fields.keys() <= {
                "password",
                "seen",
            }

    def test_rights_through_groups_count(self, sign_in: Callable[[str], Client], accounts: dict[str, User]) -> None:
        group = Group.objects.create(name="Queues")
        group.permissions.set(granted({"flow_app.change_queue"}))
        accounts["ordinary"].groups.add(group)
        assert change(sign_in("helper"), accounts["ordinary"], first_name="Ann") == 403

    def test_rights_that_the_editor_has_too_are_no_obstacle(self, accounts: dict[str, User]) -> None:
        equal = person("equal", {"auth.change_user", "tasks_app.change_task"}, is_staff=True)
        assert rules.may_manage(equal, accounts["operator"])
        assert rules.may_manage(equal, accounts["left"])
        assert not rules.may_manage(equal, accounts["chief"])


@pytest.mark.usefixtures("unrendered")
class TestPasswords:
    @pytest.mark.parametrize("name", PEOPLE)
    def test_are_reset_by_those_who_may(
        self, sign_in: Callable[[str], Client], accounts: dict[str, User], name: str
    ) -> None:
        browser = sign_in(name)
        new = {"password1": OTHER_PASSWORD, "password2": OTHER_PASSWORD, "usable_password": "true"}
        for account, target in accounts.items():
            allowed = may(name, account, "first_name")
            status = browser.post(f"{USERS}{target.pk}/password/", new).status_code
            target.refresh_from_db()
            assert (status, target.check_password(OTHER_PASSWORD)) == ((302, True) if allowed else (403, False))
            assert target.check_password(PASSWORD) != allowed

    def test_are_taken_away_by_those_who_may(self, sign_in: Callable[[str], Client], accounts: dict[str, User]) -> None:
        browser = sign_in("helper")
        for account, usable in (("chief", True), ("operator", True), ("ordinary", False)):
            url = f"{USERS}{accounts[account].pk}/password/"
            browser.post(url, {"usable_password": "false", "unset-password": "x"})
            accounts[account].refresh_from_db()
            assert accounts[account].has_usable_password() == usable

    @pytest.mark.parametrize("spelling", ["{}", "0{}", "+{}"])
    @pytest.mark.parametrize("name", ["root", "helper"])
    def test_of_ones_own_account_need_the_old_one(
        self, sign_in: Callable[[str], Client], name: str, spelling: str
    ) -> None:
        browser = sign_in(name)
        mine = User.objects.get(username=name)
        new = {"password1": OTHER_PASSWORD, "password2": OTHER_PASSWORD, "usable_password": "true"}
        response = browser.post(f"{USERS}{spelling.format(mine.pk)}/password/", new)
        assert (response.status_code, response["Location"]) == (302, "/admin/password_change/")
        mine.refresh_from_db()
        assert mine.check_password(PASSWORD)


class TestCreating:
    def form(self, **more: Any) -> dict[str, Any]:
        password = {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
        return {"username": "fresh", **password, **more}

    @pytest.mark.parametrize("name", PEOPLE)
    def test_is_for_those_who_may(self, sign_in: Callable[[str], Client], name: str) -> None:
        sign_in(name).post(f"{USERS}add/", self.form())
        fresh = User.objects.filter(username="fresh").first()
        assert (fresh is not None) == (name in ("keeper", "everything", "root"))
        if fresh:
            assert not (fresh.is_staff or fresh.is_superuser or rules.rights_of(fresh))

    def test_gives_no_rights(self, sign_in: Callable[[str], Client]) -> None:
        browser = sign_in("keeper")
        for field in set(FIELDS) - {"username"}:
            form = self.form(**{field: new_value(field) or "on"})
            assert browser.post(f"{USERS}add/?_popup=1", form).status_code == 403, field
        assert not User.objects.filter(username="fresh").exists()


@pytest.mark.usefixtures("unrendered")
class TestDeleting:
    @pytest.mark.parametrize("way", ["page", "action", "action across"])
    @pytest.mark.parametrize("name", ["keeper", "helper", "viewer", "everything", "root"])
    def test_is_for_those_who_may(
        self, sign_in: Callable[[str], Client], accounts: dict[str, User], name: str, way: str
    ) -> None:
        browser = sign_in(name)
        for account, target in accounts.items():
            if way == "page":
                browser.post(f"{USERS}{target.pk}/delete/", {"post": "yes"})
            else:
                across = "1" if way == "action across" else "0"
                chosen = {"_selected_action": [str(target.pk)], "select_across": across, "index": "0"}
                browser.post(f"{USERS}?q={account}", {"action": "delete_selected", "post": "yes", **chosen})
            allowed = may(name, account, "first_name") and name != "helper"
            assert User.objects.filter(pk=target.pk).exists() != allowed, account

    def test_several_at_once_is_all_or_nothing(
        self, sign_in: Callable[[str], Client], accounts: dict[str, User]
    ) -> None:
        chosen = [str(account.pk) for account in accounts.values()]
        data = {"action": "delete_selected", "post": "yes", "index": "0", "_selected_action": chosen}
        assert sign_in("keeper").post(USERS, data).status_code == 403
        assert User.objects.filter(pk__in=chosen).count() == len(accounts)

    def test_several_under_a_filter_is_no_other(self, sign_in: Callable[[str], Client]) -> None:
        group = Group.objects.create(name="Leaving")
        User.objects.create_user("another")
        for filters in (f"groups__id__exact={group.pk}", "is_staff__exact=0&q=going"):
            going = User.objects.create_user("going")
            going.groups.add(group)
            data = {"action": "delete_selected", "post": "yes", "index": "0", "_selected_action": [going.pk]}
            keeper = User.objects.filter(username="keeper")
            browser = Client()
            if keeper:
                browser.force_login(keeper[0])
            else:
                browser = sign_in("keeper")
            assert browser.post(f"{USERS}?{filters}", data).status_code == 302
            assert not User.objects.filter(username="going").exists()
            assert User.objects.filter(username="another").exists()


class TestGroups:
    @pytest.mark.parametrize("name", PEOPLE)
    def test_are_changed_by_superusers_alone(self, sign_in: Callable[[str], Client], name: str) -> None:
        browser, root = sign_in(name), name == "root"
        group = Group.objects.create(name="Mine")
        User.objects.get(username=name).groups.add(group)
        permission = str(Permission.objects.get(codename="change_queue").pk)
        url = f"{GROUPS}{group.pk}/"
        sent = form_of(browser, f"{url}change/") | {"name": "Renamed", "permissions": [permission]}
        status = browser.post(f"{url}change/", sent).status_code
        group.refresh_from_db()
        changed = (group.name, group.permissions.exists(), status)
        assert changed == (("Renamed", True, 302) if root else ("Mine", False, 403))
        assert browser.post(f"{GROUPS}add/", {"name": "New"}).status_code == (302 if root else 403)
        assert Group.objects.filter(name="New").exists() == root
        browser.post(GROUPS, {"action": "delete_selected", "post": "yes", "index": "0", "_selected_action": [group.pk]})
        assert Group.objects.filter(pk=group.pk).exists() != root
        if not root:
            assert browser.post(f"{url}delete/", {"post": "yes"}).status_code == 403
            assert Group.objects.filter(pk=group.pk).exists()

    @pytest.mark.parametrize(("name", "status"), [("viewer", 200), ("grouper", 200), ("nobody", 403), ("helper", 403)])
    def test_are_seen_by_those_who_may(self, sign_in: Callable[[str], Client], name: str, status: int) -> None:
        group = Group.objects.create(name="Mine")
        assert sign_in(name).get(f"{GROUPS}{group.pk}/change/").status_code == status


class TestOtherWays:
    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("?password__startswith=pbkdf2", 400),
            ("?user_permissions__user__password__startswith=pbkdf2", 400),
            ("?_to_field=password&_popup=1", 400),
            ("?logentry__user__password__startswith=x", 400),
            ("?username__regex=(", 400),
            ("?email__iregex=(a|a)*b", 400),
            ("?username__startswith=c", 400),
            ("?is_superuser=1", 400),
            ("?is_superuser__exact=1&is_active__exact=1", 200),
            ("?groups__isnull=True", 200),
        ],
    )
    def test_lists_reveal_no_password(self, sign_in: Callable[[str], Client], path: str, status: int) -> None:
        assert sign_in("everything").get(f"{USERS}{path}").status_code == status

    def test_no_page_shows_a_hash(self, sign_in: Callable[[str], Client], accounts: dict[str, User]) -> None:
        stored = User.objects.get(username="chief").password.rpartition("$")[2]
        for name in ("root", "viewer", "helper"):
            browser = sign_in(name)
            for page in ("change", "history", "password", "delete"):
                assert stored not in browser.get(f"{USERS}{accounts['chief'].pk}/{page}/").content.decode()

    @pytest.mark.parametrize(
        ("name", "field", "status"),
        [("everything", "user_permissions", 403), ("helper", "groups", 403), ("viewer", "groups", 200)],
    )
    def test_completion_offers_what_one_may_see(
        self, sign_in: Callable[[str], Client], name: str, field: str, status: int
    ) -> None:
        url = f"/admin/autocomplete/?app_label=auth&model_name=user&field_name={field}&term=a"
        assert sign_in(name).get(url).status_code == status

    def test_djangos_own_log_has_no_pages(self, sign_in: Callable[[str], Client]) -> None:
        assert sign_in("root").get("/admin/admin/logentry/").status_code == 404


class TestRaces:
    @pytest.mark.parametrize(("page", "data"), [("change", {"is_active": "on"}), ("delete", {"post": "yes"})])
    def test_the_account_is_locked_before_it_is_judged(
        self, sign_in: Callable[[str], Client], accounts: dict[str, User], page: str, data: dict[str, str]
    ) -> None:
        browser = sign_in("keeper")
        url = f"{USERS}{accounts['ordinary'].pk}/{page}/"
        sent = {**(form_of(browser, url) if page == "change" else {}), **data}
        with Statements() as seen:
            browser.post(url, sent)
        lock = next(at for at, sql in enumerate(seen) if 'FROM "auth_user"' in sql and "FOR UPDATE" in sql)
        judged = [at for at, sql in enumerate(seen) if 'FROM "auth_permission"' in sql and sql.count("user_id") > 1]
        write = next(at for at, sql in enumerate(seen) if re.match('(UPDATE|DELETE FROM) "auth_user" ', sql))
        assert any(lock < at < write for at in judged)

    @pytest.mark.django_db(transaction=True)
    def test_pages_outside_of_a_transaction_lock_nothing(self, sign_in: Callable[[str], Client]) -> None:
        group = Group.objects.create(name="Mine")
        browser = sign_in("root")
        for url in (f"{USERS}{User.objects.get().pk}/history/", f"{GROUPS}{group.pk}/history/"):
            assert browser.post(url).status_code == 200


class TestTwoTabs:
    """A form that was opened first does not undo what was saved meanwhile."""

    @pytest.mark.parametrize("name", ["root", "helper"])
    @pytest.mark.parametrize("taken", ["is_active", "is_staff", "is_superuser", "groups", "user_permissions"])
    def test_of_an_account(self, sign_in: Callable[[str], Client], name: str, taken: str) -> None:
        account = person("ordinary", set(), is_staff=True, is_superuser=name == "root")
        account.groups.add(Group.objects.create(name="Powerful"))
        account.user_permissions.add(Permission.objects.get(codename="view_user"))
        browser, url = sign_in(name), f"{USERS}{account.pk}/change/"
        sent = form_of(browser, url) | {"email": "new@example.org"}
        if taken in ("groups", "user_permissions"):
            getattr(account, taken).clear()
        else:
            User.objects.filter(pk=account.pk).update(**{taken: False})
        was = state_of(User.objects.get(pk=account.pk))
        sent = {key: value for key, value in sent.items() if name == "root" or key in {"seen", *HARMLESS}}
        changed = (name, taken) != ("helper", "is_superuser")
        response = browser.post(url, sent)
        assert ("Somebody changed this" in response.content.decode()) == changed
        assert (state_of(User.objects.get(pk=account.pk)) == was) == changed

    def test_of_a_group(self, sign_in: Callable[[str], Client]) -> None:
        group = Group.objects.create(name="Powerful")
        group.permissions.add(Permission.objects.get(codename="view_user"))
        browser, url = sign_in("root"), f"{GROUPS}{group.pk}/change/"
        sent = form_of(browser, url)
        group.permissions.clear()
        assert "Somebody changed this" in browser.post(url, sent | {"name": "Renamed"}).content.decode()
        assert not group.permissions.exists()

    def test_are_found_by_a_field_that_browsers_send(self, sign_in: Callable[[str], Client]) -> None:
        group = Group.objects.create(name="Powerful")
        browser = sign_in("root")
        for url in (f"{USERS}{User.objects.get().pk}/change/", f"{GROUPS}{group.pk}/change/"):
            [fields] = [sent for _, sent in forms_of(browser.get(url).content.decode()) if "seen" in sent]
            assert len(fields["seen"][0]) == 64

    def test_do_not_mind_who_logs_in(self, sign_in: Callable[[str], Client], accounts: dict[str, User]) -> None:
        browser = sign_in("root")
        sent = form_of(browser, f"{USERS}{accounts['ordinary'].pk}/change/")
        accounts["ordinary"].last_login = timezone.now()
        accounts["ordinary"].save()
        assert change(browser, accounts["ordinary"], sent, email="new@example.org") == 302


class Statements(list[str]):
    """What the database is asked meanwhile."""

    def __enter__(self) -> Statements:
        self._wrapped = connection.execute_wrapper(self._note)
        self._wrapped.__enter__()
        return self

    def _note(self, execute: Any, sql: str, *args: Any) -> Any:
        self.append(sql)
        return execute(sql, *args)

    def __exit__(self, *args: Any) -> None:
        self._wrapped.__exit__(*args)
