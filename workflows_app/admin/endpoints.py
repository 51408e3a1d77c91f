"""Webhook endpoints: the list, the forms that make and change one, and the page that shows a secret once."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from access_app.rights import Action
from access_app.staff import display
from access_app.staff.base import StaffAdmin, actor_of
from access_app.versions import Stale
from workflows_app.admin.endpoint_forms import EndpointForm
from workflows_app.callbacks import endpoints
from workflows_app.callbacks.tables import WebhookEndpoint

_SHOWN_ONCE = "admin/workflows_app/webhookendpoint/secret.html"


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(StaffAdmin):
    page_template = "admin/workflows_app/webhookendpoint/page.html"
    new_label = "New endpoint"
    reads = Action.ENDPOINT_READ
    creates = Action.ENDPOINT_CREATE
    posts = {
        "edit": Action.ENDPOINT_EDIT,
        "rotate": Action.ENDPOINT_ROTATE,
        "enable": Action.ENDPOINT_EDIT,
        "disable": Action.ENDPOINT_EDIT,
        "delete": Action.ENDPOINT_DELETE,
    }
    list_defers = ("secret", "previous_secret")
    list_display = ("endpoint_name", "state", "hears", "failing", "made")
    search_fields = ("name",)
    search_help_text = "Part of the name"

    @admin.display(description="endpoint")
    def endpoint_name(self, row: WebhookEndpoint) -> SafeString:
        return format_html(
            '<span class="ts-task"><b class="ts-what ts-strong" title="{0}">{0}</b>'
            '<span class="ts-what" title="{1}">{1}</span></span>',
            row.name,
            display.words(row.url),
        )

    @admin.display(description="state")
    def state(self, row: WebhookEndpoint) -> SafeString:
        return display.badge(state_of(row))

    @admin.display(description="hears of")
    def hears(self, row: WebhookEndpoint) -> str:
        return hears_in_words(row)

    @admin.display(description="failing since")
    def failing(self, row: WebhookEndpoint) -> SafeString | str:
        return display.past(row.failing_since)

    @admin.display(description="created by")
    def made(self, row: WebhookEndpoint) -> str:
        return row.created_by

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        still = row.previous_until is not None and row.previous_until > timezone.now()
        facts = [
            ("URL", display.words(row.url)),
            ("Hears of", hears_in_words(row)),
            ("Queues", ", ".join(row.queues) if row.queues else "all"),
            ("Sends", "the result too, up to 20 kB" if row.include else "how it ended"),
            ("Ordered", "yes" if row.ordered else "no"),
            ("Failing since", display.exact(row.failing_since) if row.failing_since else display.EMPTY),
            ("Disabled", display.exact(row.disabled_at) if row.disabled_at else display.EMPTY),
            ("The secret before signs until", display.exact(row.previous_until) if still else display.EMPTY),
            ("Created", display.exact(row.created_at)),
            ("Created by", row.created_by),
            ("Version", str(row.version)),
        ]
        deliveries = reverse("admin:workflows_app_delivery_changelist")
        return {
            "badge": self.state(row),
            "facts": facts,
            "form": EndpointForm.of(row),
            "deliveries": f"{deliveries}?{display.query(endpoint=str(row.pk))}",
        }

    def new_page(self, request: HttpRequest) -> HttpResponse:
        """Create an endpoint and show its secret in the response to that very POST, as of an API key."""
        form = EndpointForm(request.POST or None)
        if request.method == "POST" and form.is_valid() and (made := form.create(actor=actor_of(request))):
            return self._show_once(request, *made, status=201)
        template = "admin/workflows_app/webhookendpoint/new.html"
        return self.render_form(request, template, {"title": "New endpoint", "form": form})

    def post_edit(self, request: HttpRequest, row: WebhookEndpoint) -> HttpResponse | None:
        form = EndpointForm(request.POST)
        try:
            if form.is_valid() and form.save(row, actor=actor_of(request)):
                messages.success(request, "It holds from now on.")
                return None
        except Stale:
            form.add_error(None, f"Somebody changed {row.name} meanwhile. Nothing was saved: open it anew.")
        return self.render_page(request, row, self.page_context(request, row) | {"form": form}, status=422)

    def post_rotate(self, request: HttpRequest, row: WebhookEndpoint) -> HttpResponse:
        return self._show_once(request, *endpoints.rotate_secret(row.pk, actor=actor_of(request)))

    def post_enable(self, request: HttpRequest, row: WebhookEndpoint) -> None:
        endpoints.edit_endpoint(row.pk, {"enabled": True}, actor=actor_of(request))
        messages.success(request, f"{row.name} is called again.")

    def post_disable(self, request: HttpRequest, row: WebhookEndpoint) -> None:
        endpoints.edit_endpoint(row.pk, {"enabled": False}, actor=actor_of(request))
        messages.success(request, f"{row.name} is called no more.")

    def post_delete(self, request: HttpRequest, row: WebhookEndpoint) -> HttpResponse:
        endpoints.delete_endpoint(row.pk, actor=actor_of(request))
        messages.success(request, f"{row.name} is gone.")
        return self.to_list(request)

    def _show_once(self, request: HttpRequest, row: WebhookEndpoint, secret: str, *, status: int = 200) -> HttpResponse:
        context = {"title": f"Endpoint {row.name}", "endpoint": row, "secret": secret, "page": display.page_url(row)}
        return self.render(request, _SHOWN_ONCE, context, status=status)


def state_of(row: WebhookEndpoint) -> str:
    if row.disabled is not None:
        return "DISABLED"
    return "FAILING" if row.failing_since is not None else "ACTIVE"


def hears_in_words(row: WebhookEndpoint) -> str:
    return ", ".join(event.removeprefix("task.") for event in row.events) or "tasks that name it"
