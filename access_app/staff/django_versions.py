"""What Django 6.1 asks of an admin otherwise than 5.2 does: all of it is here, and goes when 5.2 goes.

Since 6.1 an action may stand on the page of one row, too. Django asks for the actions of a place, and has an object for
each where 5.2 has a tuple. Here they stand on lists alone: what is done to one row has a button and an address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.http import HttpRequest

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

    AnyAdmin = ModelAdmin[Any]
else:  # a mixin: whichever admin stands behind it
    AnyAdmin = object

#: How Django 6.1 names a list, among its places. 5.2 has none, and names none.
_LIST: Final = "CHANGE_LIST"


class ListActions(AnyAdmin):
    """Offers actions on lists. Every admin is one, because django-unfold's has the signatures of 5.2."""

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
