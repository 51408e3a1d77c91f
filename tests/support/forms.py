"""Forms of a page as a browser would send them, untouched."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

from django.test import Client


class _Forms(HTMLParser):
    """Collects each form with the names and values of its fields."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, list[str]]]] = []
        self._select, self._textarea, self._options = "", "", [("", False)]

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attributes}
        if tag == "form":
            self.forms.append((named.get("action", ""), {}))
        elif not self.forms:
            return
        elif tag == "input" and named.get("name") and _is_sent(named):
            self._add(named["name"], named.get("value", "on" if named.get("type") == "checkbox" else ""))
        elif tag == "select":
            self._select, self._options = named.get("name", ""), []
        elif tag == "option" and self._select:
            self._options.append((named.get("value", ""), "selected" in named))
        elif tag == "textarea":
            self._textarea = named.get("name", "")
            self._add(self._textarea, "")

    handle_startendtag = handle_starttag

    def handle_endtag(self, tag: str) -> None:
        if tag == "select" and self._options:
            chosen = [value for value, selected in self._options if selected] or [self._options[0][0]]
            for value in chosen:
                self._add(self._select, value)
            self._select = ""
        elif tag == "textarea":
            self._textarea = ""

    def handle_data(self, data: str) -> None:
        if self._textarea:
            text = self.forms[-1][1][self._textarea][-1] + data
            self.forms[-1][1][self._textarea][-1] = text.removeprefix("\n")

    def _add(self, name: str, value: str) -> None:
        self.forms[-1][1].setdefault(name, []).append(value)


def _is_sent(named: dict[str, str]) -> bool:
    if named.get("type") in ("submit", "button", "reset", "file"):
        return False
    return named.get("type") not in ("checkbox", "radio") or "checked" in named


def forms_of(html: str) -> list[tuple[str, dict[str, list[str]]]]:
    """The action and the fields of every form of a page."""
    parser = _Forms()
    parser.feed(html)
    return parser.forms


def send_untouched(client: Client, page: str, ending: str = "") -> Any:
    """Open a page and send its form whose action ends so, as it was opened."""
    forms = forms_of(client.get(page).content.decode())
    [(action, fields)] = [form for form in forms if form[0].endswith(ending) and "logout" not in form[0]]
    return client.post(urljoin(page, action) if action else page, fields)
