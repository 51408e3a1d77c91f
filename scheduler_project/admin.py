"""Staff accounts in the look of the rest: Django's own pages of users and groups. And two of the site's own addresses,
which answered some requests with an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.core.paginator import InvalidPage
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver

if TYPE_CHECKING:
    AdminPasswordChangeForm: Any
    UserChangeForm: Any
    UserCreationForm: Any

    class UserBase(DjangoUserAdmin[User]): ...

    class GroupBase(DjangoGroupAdmin): ...

else:  # unfold has no types
    from unfold.admin import ModelAdmin
    from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

    class UserBase(DjangoUserAdmin, ModelAdmin): ...

    class GroupBase(DjangoGroupAdmin, ModelAdmin): ...


_search, _get_urls = admin.site.search, admin.site.get_urls  # type: ignore[attr-defined]  # unfold's site


def search(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
    """The search for pages, which fails on a page of results that there is not."""
    try:
        answer: HttpResponse = _search(request, extra_context)
    except (ValueError, InvalidPage):
        raise Http404 from None
    return answer


def get_urls() -> list[URLResolver | URLPattern]:
    """Without "view on site", which no page uses and which fails on an id that is no UUID."""
    return [url for url in _get_urls() if getattr(url, "name", None) != "view_on_site"]


admin.site.search = search  # type: ignore[attr-defined]
admin.site.get_urls = get_urls  # type: ignore[method-assign]
admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(UserBase):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(GroupBase):
    pass
