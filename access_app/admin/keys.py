"""API keys: the list, the form that creates one and shows its secret once, and revocation."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from access_app import keys
from access_app import rights as access
from access_app.models import ApiKey
from access_app.rights import Action, Scope
from access_app.staff import display
from access_app.staff.base import StaffAdmin, actor_of, acts, person_of

_SCOPES: dict[str, str] = {
    Scope.TASKS_READ: "see all tasks, their payloads and results",
    Scope.TASKS_WRITE: "create, change, cancel and retry tasks",
    Scope.TASKS_SHELL: "have SHELL tasks run: commands on the workers",
    Scope.SCHEDULES_READ: "see all schedules and calendars",
    Scope.SCHEDULES_WRITE: "create, change, run and delete schedules and calendars",
    Scope.ADMIN: "queues, workers and recovery",
}


class NewKeyForm(forms.Form):
    """What a key is to be called and allowed. The choices are those the person may grant."""

    name = forms.CharField(max_length=64, help_text="Tasks record it as their creator, so it can never be used again.")
    scopes = forms.MultipleChoiceField(widget=forms.CheckboxSelectMultiple)
    expires_in_days = forms.IntegerField(required=False, min_value=1, max_value=36_500)
    never_expires = forms.BooleanField(required=False, help_text="It is valid until somebody revokes it.")

    def __init__(self, data: Any = None, *, scopes: list[str]) -> None:
        super().__init__(data)
        default = settings.SCHEDULER.api_key_default_expiry
        text = f"{default / timedelta(days=1):g} days" if default else "it is valid until somebody revokes it"
        self.fields["expires_in_days"].help_text = f"Empty: {text}."
        choice = self.fields["scopes"]
        assert isinstance(choice, forms.MultipleChoiceField)
        choice.choices = [(scope, f"{scope}: {_SCOPES.get(scope, 'have tasks of some types run')}") for scope in scopes]

    def clean(self) -> None:
        if self.cleaned_data.get("never_expires") and self.cleaned_data.get("expires_in_days"):
            self.add_error("never_expires", "Choose either a number of days or this.")

    @property
    def expires_in(self) -> timedelta | None:
        """As `keys.create_key` wants it."""
        if self.cleaned_data["never_expires"]:
            return keys.NEVER
        days = self.cleaned_data["expires_in_days"]
        return timedelta(days=days) if days else None


@admin.register(ApiKey)
class ApiKeyAdmin(StaffAdmin):
    page_template = "admin/access_app/apikey/page.html"
    new_label = "New API key"
    reads = Action.KEY_READ
    creates = Action.KEY_CREATE
    posts = {"revoke": Action.KEY_REVOKE}
    list_defers = ("key_hash",)
    list_display = ("key_name", "state", "belongs_to", "starts_with", "scope_list", "expires", "last_used", "made")
    search_fields = ("name", "prefix")
    search_help_text = "Name or prefix"
    ordering = ("name",)
    actions = ("revoke_selected",)

    @admin.display(description="name")
    def key_name(self, key: ApiKey) -> SafeString:
        return format_html("<b>{}</b>", key.name)

    @admin.display(description="state")
    def state(self, key: ApiKey) -> SafeString:
        return display.badge(keys.state_of(key, key.account))  # type: ignore[attr-defined]  # set by prepare

    @admin.display(description="owner")
    def belongs_to(self, key: ApiKey) -> str:
        return owner_name(key, key.account)  # type: ignore[attr-defined]  # set by prepare

    @admin.display(description="starts with")
    def starts_with(self, key: ApiKey) -> SafeString:
        return format_html('<span class="ts-mono">{}…</span>', key.prefix)

    @admin.display(description="scopes")
    def scope_list(self, key: ApiKey) -> SafeString:
        scopes = ", ".join(key.scopes)
        return format_html('<span class="ts-cut" title="{}">{}</span>', scopes, scopes)

    @admin.display(description="expires")
    def expires(self, key: ApiKey) -> SafeString | str:
        return display.instant(key.expires_at) if key.expires_at else "never"

    @admin.display(description="last used")
    def last_used(self, key: ApiKey) -> SafeString | str:
        if key.last_used_at is None:
            return "never"
        return format_html(
            '<span title="from {}">{}</span>', key.last_used_address or "?", display.past(key.last_used_at)
        )

    @admin.display(description="created by")
    def made(self, key: ApiKey) -> str:
        return display.text_or_dash(key.created_by)

    def prepare(self, rows: list[Any]) -> None:
        owners = keys.owners_of(rows)
        for key in rows:
            key.account = owners.get(key.owner_id)

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        owner = keys.owners_of([row]).get(row.owner_id)
        lost = set(row.scopes) - set(keys.scopes_in_effect(row.scopes, owner))
        facts = [
            ("Starts with", format_html('<span class="ts-mono">{}…</span>', row.prefix)),
            ("Owner", owner_name(row, owner)),
            ("Scopes", ", ".join(row.scopes)),
            ("Not in effect", f"{', '.join(sorted(lost))}: the owner may not do this" if lost else display.EMPTY),
            ("Created", display.exact(row.created_at)),
            ("Created by", display.text_or_dash(row.created_by)),
            ("Expires", display.exact(row.expires_at) if row.expires_at else "never"),
            ("Last used", display.exact(row.last_used_at) if row.last_used_at else "never"),
            ("Last used from", display.text_or_dash(row.last_used_address)),
            ("Revoked", display.exact(row.revoked_at)),
        ]
        badge = display.badge(keys.state_of(row, owner))
        return {"badge": badge, "facts": facts, "revocable": row.revoked_at is None}

    def new_page(self, request: HttpRequest) -> HttpResponse:
        """Create a key and show its secret in the response to that very POST.

        Nothing else ever holds the secret: a redirect would have to carry it in a message, which Django keeps in a
        cookie or in the session table, or in a URL, which logs and histories keep. A reload repeats the POST and is
        refused, because the name is taken by then; no cache keeps it (every page of the admin is marked no-store).
        """
        form = NewKeyForm(request.POST or None, scopes=access.grantable(person_of(request)))
        if request.method == "POST" and form.is_valid():
            try:
                key, secret = keys.create_key(
                    form.cleaned_data["name"],
                    form.cleaned_data["scopes"],
                    actor=actor_of(request),
                    owner=request.user,
                    expires_in=form.expires_in,
                )
            except keys.KeyRefused as error:
                name, _, problem = str(error).partition(": ")
                form.add_error(name if name in form.fields else None, problem or str(error))
            else:
                context = {"title": f"API key {key.name}", "key": key, "secret": secret}
                return self.render(request, "admin/access_app/apikey/created.html", context, status=201)
        return self.render_form(request, "admin/access_app/apikey/new.html", {"title": "New API key", "form": form})

    def post_revoke(self, request: HttpRequest, row: ApiKey) -> None:
        keys.revoke_key(row, actor=actor_of(request))
        messages.success(request, f"The key {row.name} is refused from now on.")

    @acts(Action.KEY_REVOKE, "Revoke")
    def revoke_selected(self, request: HttpRequest, rows: list[ApiKey]) -> None:
        for key in rows:
            keys.revoke_key(key, actor=actor_of(request))
        names = ", ".join(key.name for key in rows)
        messages.success(request, f"{len(rows)} key{'' if len(rows) == 1 else 's'} revoked: {names}.")


def owner_name(key: ApiKey, owner: Any) -> str:
    if key.owner_id is None:
        return display.EMPTY
    return owner.get_username() if owner else "a deleted account"
