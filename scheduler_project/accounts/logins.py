"""The page of logging in, and the form that asks for one's old password: both are guarded against guessing."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import authenticate
from django.contrib.auth.signals import user_logged_in
from django.contrib.auth.views import PasswordChangeView
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone

from scheduler_project.accounts.backends import Busy
from scheduler_project.accounts.browsers import remember_browser
from scheduler_project.accounts.throttle import refusal

if TYPE_CHECKING:
    from django.contrib.auth.forms import PasswordChangeForm

    AdminOwnPasswordChangeForm = PasswordChangeForm
else:  # unfold has no types
    from unfold.forms import AdminOwnPasswordChangeForm

_login = admin.site.login


def login(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
    """The login page. A browser that has logged in is known from then on."""
    try:
        response = _login(request, extra_context)
    except Busy:
        return _busy(request)
    if request.method == "POST" and response.status_code == 302 and request.user.is_authenticated:
        remember_browser(request, response, request.user.get_username())
    return response


def _busy(request: HttpRequest) -> HttpResponse:
    text = "Too many people are logging in at this moment, so the password was not looked at. Try again."
    return refusal(request, "Busy", text, retry_after=timedelta(seconds=1))


@receiver(user_logged_in)
def limit_session(sender: Any, request: HttpRequest, **_: Any) -> None:
    """A session ends so long after the log-in, however it is used. The next log-in clears away what has ended."""
    request.session.set_expiry(timezone.now() + settings.SCHEDULER.session_lifetime)
    request.session.clear_expired()


class OwnPasswordForm(AdminOwnPasswordChangeForm):
    """Whoever finds an unlocked screen cannot guess the old password there: it is checked like one of a log-in."""

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._request = request

    def clean_old_password(self) -> str:
        old: str = self.cleaned_data["old_password"]
        if authenticate(self._request, username=self.user.get_username(), password=old) != self.user:
            raise forms.ValidationError(self.error_messages["password_incorrect"], code="password_incorrect")
        return old


def password_change(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
    """The page of one's own password, which is changed together with its row in the audit trail."""
    request.current_app = admin.site.name
    view = PasswordChangeView.as_view(
        form_class=partial(OwnPasswordForm, request=request),
        success_url=reverse("admin:password_change_done"),
        extra_context={**admin.site.each_context(request), **(extra_context or {})},
    )
    try:
        with transaction.atomic():
            response: HttpResponseBase = view(request)
    except Busy:
        return _busy(request)
    return response
