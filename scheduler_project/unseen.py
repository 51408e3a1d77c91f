"""Characters that cannot be seen, or that turn text round, are shown as what they are: ``⟨U+202E⟩``.

Whoever stores a payload, an output or a name could otherwise make a page show another text than what is stored or run
(Unicode Technical Report 36, "Bidirectional Text Spoofing"). One place for every page, where it leaves: nothing that is
written for a page can forget it. What a form would send back stays as it is stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse

from access_app.texts import UNSEEN

#: A field of a form, which is left alone; or a character. Stored text cannot pass for a field: its quotes and angle
#: brackets are escaped.
_FIELD_OR_UNSEEN: Final = re.compile(rf'<textarea\b.*?</textarea>|\bvalue="[^"]*"|{UNSEEN.pattern}+', re.DOTALL)
#: So many in a row are shown one by one; a page of nothing else must not grow many times as large.
_MOST_SHOWN: Final = 8


class ShowUnseen:
    """A middleware that sees pages before they are measured and compressed."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        if not response.streaming and response.get("Content-Type", "").startswith("text/html"):
            page = response.content.decode()
            if UNSEEN.search(page):  # hardly ever: a page without one costs a look
                response.content = _FIELD_OR_UNSEEN.sub(_shown, page)
        return response


def _shown(match: re.Match[str]) -> str:
    text = match[0]
    if not UNSEEN.match(text):  # a field
        return text
    rest = len(text) - _MOST_SHOWN
    shown = "".join(f"⟨U+{ord(character):04X}⟩" for character in text[:_MOST_SHOWN])
    return shown if rest <= 0 else f"{shown}⟨and {rest:,} more⟩"
