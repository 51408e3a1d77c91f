"""Pages that move while somebody looks at them: the script live.js asks for the page again, and gets its content alone.

The frame round it is not drawn for that, so that no message meant for the next page is used up. How often it asks is
said by the page; a page that takes long is asked for less often, and one in a hidden tab not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.http import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

    AnyAdmin = ModelAdmin[Any]
else:  # a mixin: whichever admin stands behind it
    AnyAdmin = object

_HEADER: Final = "X-Live"
#: The frame of what a script asks for.
PART: Final = "admin/scheduler/part.html"


def is_asked(request: HttpRequest) -> bool:
    """Whether the script asks, for a page that is shown already."""
    return _HEADER in request.headers


def frame_of(request: HttpRequest) -> dict[str, str]:
    """What templates of pages that move extend; nothing for the whole page."""
    return {"frame": PART} if is_asked(request) else {}


class LivePages(AnyAdmin):
    """An admin whose pages keep themselves up to date."""

    #: Seconds after which a list looks again; 0: it stays as it was loaded.
    list_seconds: ClassVar[int] = 10

    def live_seconds(self, row: Any) -> int:
        """The same for the page of a row."""
        return 0

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        moving = {**frame_of(request), "live_seconds": self.list_seconds}
        return super().changelist_view(request, {**moving, **(extra_context or {})})

    def everywhere(self, request: HttpRequest) -> dict[str, Any]:
        """What a page is given beside its own: the frame's part, or that there is none."""
        return frame_of(request) or self.admin_site.each_context(request)

    def gone(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A row that is not there, or no longer: a person is led elsewhere, and told; the script is told."""
        if is_asked(request):
            return HttpResponse(status=410)
        return self.lead_on(request, object_id)

    def lead_on(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Where somebody is led who asks for a row that is not there."""
        return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined,no-any-return]
