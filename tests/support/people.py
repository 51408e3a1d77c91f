"""Staff in front of the admin: signed in with some permissions, and what pages tell them."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.test import Client

#: Forms of a page on which nothing can be done: the list's own, without actions, and the one that signs out.
READING_FORMS: Final = {
    '<form id="changelist-form" class="group" method="post" novalidate>',
    '<form id="logout-form" method="post" action="/admin/logout/" class="mx-1">',
}


def sign_in(client: Client, *permissions: str) -> Client:
    """As victor, who is staff and has these permissions alone."""
    user = User.objects.create_user("victor", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    return client


def said(response: Any) -> str:
    """The messages that a response leaves behind."""
    assert response.status_code in (200, 302), response.status_code
    return " | ".join(str(message) for message in get_messages(response.wsgi_request))
