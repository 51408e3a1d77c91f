"""How often logging in may fail. django-axes counts and refuses, before a password is looked at; the limits are here.

Counted are failures of the last quarter of an hour. While somebody is locked out nothing more is counted, so nobody can
prolong it, and one address locks nobody out but itself. For a browser that an account has logged in with before, only
its own failures count: strangers cannot keep its person out, from however many addresses they try.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any, Final

from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.db.models import Max, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from access_app.http.clients import client_address
from access_app.http.errors import plain_response
from access_app.http.problems import Problem
from scheduler_project import error_pages
from scheduler_project.accounts.browsers import browser_of
from scheduler_project.accounts.login_trail import login_failed, login_locked, printable

#: Failures that lock: of one account from one address, from one address, of one account, from one known browser.
PER_PAIR: Final = 5
PER_ADDRESS: Final = 30
PER_ACCOUNT: Final = 60
PER_KNOWN_BROWSER: Final = 10
#: Longer than any user name may be.
_LONGEST_NAME: Final = 255


class LoginThrottle(AxesDatabaseHandler):  # type: ignore[misc]  # axes has no types
    """The AXES_HANDLER. A row of ``axes_accessattempt`` is an account, an address and a known browser (or none)."""

    def get_failures(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        """1 when a limit is reached and 0 otherwise; AXES_FAILURE_LIMIT is 1."""
        return int(locked_until(request, name_of(request, credentials)) is not None)

    def user_login_failed(
        self, sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any
    ) -> None:
        if request is None:
            return
        was_refused, name = request.axes_locked_out, name_of(request, credentials)  # type: ignore[attr-defined]
        request.axes_user_agent = browser_of(request, name)  # type: ignore[attr-defined]  # set by axes
        super().user_login_failed(sender, credentials, request, **kwargs)
        if was_refused:
            return
        login_failed(request, name)
        if request.axes_locked_out:  # type: ignore[attr-defined]
            login_locked(request, name)

    def reset_user_attempts(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        """A log-in forgives what its own person typed, and nothing that others tried from there or on the account."""
        name = name_of(request, credentials)
        browser = browser_of(request, name)
        mine = AccessAttempt.objects.filter(username=name, user_agent=browser)
        if not browser:
            mine = mine.filter(ip_address=network_of(request))
        count, _ = mine.delete()
        return int(count)

    def post_save_access_attempt(self, instance: AccessAttempt, **kwargs: Any) -> None:
        """Keep nothing of what was sent."""
        AccessAttempt.objects.filter(pk=instance.pk).update(get_data="", post_data="", http_accept="", path_info="")


def locked_until(request: HttpRequest, name: str) -> datetime | None:
    """When the last of the limits that are reached is no longer; None when none is."""
    reached = []
    for attempts, limit in _counts(request, name):
        found = attempts.aggregate(failures=Sum("failures_since_start"), newest=Max("attempt_time"))
        if (found["failures"] or 0) >= limit:
            reached.append(found["newest"])
    return max(reached) + settings.AXES_COOLOFF_TIME if reached else None


def _counts(request: HttpRequest, name: str) -> list[tuple[QuerySet[AccessAttempt], int]]:
    fresh = AccessAttempt.objects.filter(attempt_time__gt=timezone.now() - settings.AXES_COOLOFF_TIME)
    if browser := browser_of(request, name):
        return [(fresh.filter(username=name, user_agent=browser), PER_KNOWN_BROWSER)]
    address, strangers = network_of(request), fresh.filter(user_agent="")
    return [
        (strangers.filter(username=name, ip_address=address), PER_PAIR),
        (strangers.filter(ip_address=address), PER_ADDRESS),
        (strangers.filter(username=name), PER_ACCOUNT),
    ]


def name_of(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str:
    """AXES_USERNAME_CALLABLE: the account that somebody tries, as text that a terminal may show."""
    return printable(str((credentials or {}).get("username") or ""), _LONGEST_NAME)


def network_of(request: HttpRequest) -> str:
    """AXES_CLIENT_IP_CALLABLE: the client's address; of IPv6 the /64 it lies in, all of which a client has.

    Whoever has none gets the unspecified one: rows with NULL would not be unique, and axes expects one of each.
    """
    address = client_address(request)
    return str(ip_network((address, 64), strict=False).network_address) if ":" in address else address or "::"


def refuse(request: HttpRequest, response: Any, credentials: dict[str, Any] | None = None) -> HttpResponse:
    """AXES_LOCKOUT_CALLABLE: what stands in for the page of a log-in that is not looked at."""
    until = locked_until(request, name_of(request, credentials)) or timezone.now()
    wait = max(timedelta(seconds=1), until - timezone.now())
    minutes = math.ceil(wait / timedelta(minutes=1))
    return refusal(
        request,
        "Too many attempts",
        "Logging in has failed too often from here, or for this account, so the password was not looked at."
        f" Try again in {minutes} minute{'' if minutes == 1 else 's'}.",
        retry_after=wait,
    )


def refusal(request: HttpRequest, title: str, text: str, *, retry_after: timedelta) -> HttpResponse:
    """429: a page that says so in plain words, or a problem document where JSON is preferred."""
    seconds = str(math.ceil(retry_after / timedelta(seconds=1)))
    kinds = ["text/html", "application/json", "application/problem+json"]
    if (request.get_preferred_type(kinds) or kinds[0]) != kinds[0]:
        return plain_response(Problem(429, title.lower().replace(" ", "-"), text, headers={"Retry-After": seconds}))
    response = error_pages.bare(error_pages.ErrorPage(429, title, text))
    response["Retry-After"] = seconds
    return response
