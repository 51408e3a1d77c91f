"""What later versions of Django do otherwise than 5.2, as far as pages meet it: all of it is here.

The work that remains when 5.2 goes, and django-unfold, which has the shape of 5.2, has followed: nothing of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib.auth.forms import ReadOnlyPasswordHashWidget
from django.contrib.auth.hashers import is_password_usable
from django.http import HttpRequest

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

    AnyAdmin = ModelAdmin[Any]
else:  # a mixin: whichever admin stands behind it
    AnyAdmin = object

#: How Django 6.1 names a list, among its places. 5.2 has none, and names none.
_LIST: Final = "CHANGE_LIST"


class ListActions(AnyAdmin):
    """Offers actions on lists. Every admin is one, because django-unfold's has the signatures of 5.2.

    Since 6.1 an action may stand on the page of one row, too: Django asks for the actions of a place, and has an object
    for each where 5.2 has a tuple. Here what is done to one row has a button and an address.
    """

    def offers(self, request: HttpRequest, action: Any) -> bool:
        """Whether an action, a function, is offered here."""
        return True

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> dict[str, Any]:
        if getattr(action_location, "value", _LIST) != _LIST:
            return {}
        return {name: each for name, each in super().get_actions(request).items() if self.offers(request, _done(each))}

    def get_action_choices(
        self, request: HttpRequest, default_choices: Any = None, action_location: Any = None
    ) -> list[tuple[str, str]]:
        return super().get_action_choices(request)  # django-unfold's, which has a default choice of its own


def _done(action: Any) -> Any:
    """The function of an action."""
    return action[0] if isinstance(action, tuple) else action.func


class HiddenPassword(ReadOnlyPasswordHashWidget):
    """Shows of a password whether there is one.

    Since 6.0 the widget lacks the mark by which django-unfold knows that it must not show the column instead, hash and
    all, to those who may only look; and the lines that its template shows to the others.
    """

    read_only = True

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        there_is = bool(value) and is_password_usable(value)
        context.setdefault("summary", [{"label": "A password is set." if there_is else "No password set."}])
        return context
