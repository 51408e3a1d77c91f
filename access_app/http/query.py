"""Query strings are strict forms: unknown names, repeated values and what cannot be read are refused with a sentence.

A filter that is silently ignored selects everything. A form reads the parameters that a request names, and no others;
the OpenAPI document is derived from the same fields (``openapi.lists``). Lists are in ``filters``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict

from access_app.http.openapi.schemas import Json
from access_app.http.problems import Problem
from access_app.http.times import parse_instant
from access_app.texts import UUID_TEXT

_NUMBER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)

#: Returns what a text means, or raises ValueError with one sentence.
Read = Callable[[str], Any]


class Parameter(forms.Field):
    """One parameter: how its text is read, and what documents say of it.

    ``repeated``: any number of values, read to a list. ``may_be_empty``: an empty text means something.
    """

    widget = forms.MultipleHiddenInput  # takes every value there is, where others take the last

    def __init__(
        self,
        read: Read,
        schema: Json,
        help_text: str,
        *,
        repeated: bool = False,
        may_be_empty: bool = False,
        default: Any = None,
    ) -> None:
        super().__init__(required=False, help_text=help_text)
        self.read, self.schema, self.default = read, schema, default
        self.repeated, self.may_be_empty = repeated, may_be_empty

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        """The same for all requests: nothing changes it, and forms copy their fields each time."""
        return self

    def clean(self, value: list[str]) -> Any:
        if len(value) > 1 and not self.repeated:
            raise ValidationError("must be given once")
        try:
            found = [self.read(text) for text in value]
        except ValueError as error:
            raise ValidationError(str(error)) from None
        return found if self.repeated else found[0]


class Query(forms.Form):
    """The parameters of one request. Its fields are those that the request names."""

    def __init__(self, data: QueryDict, prefix: str | None = None) -> None:
        super().__init__(data, prefix=prefix)
        self.fields = {name: self.fields[name] for name in data if name in self.fields}

    @classmethod
    def form_class(cls) -> type[Query]:
        """Itself: lists are named by their filters, which have one."""
        return cls

    @classmethod
    def read(cls, data: QueryDict) -> dict[str, Any]:
        """What the parameters mean, with defaults for those that are absent. Raises `Problem`."""
        defaults = {name: field.default for name, field in cls.base_fields.items() if isinstance(field, Parameter)}
        return defaults | cls(data).meanings()

    def meanings(self) -> dict[str, Any]:
        """What the parameters that are there mean. Raises `Problem` naming every bad one."""
        if self.errors:
            raise Problem.invalid({name: str(sentences[-1]) for name, sentences in self.errors.items()})
        return self.cleaned_data


def refuse_unknown(data: QueryDict, known: Collection[str]) -> None:
    """Raise `Problem` for parameters of other names."""
    if unknown := data.keys() - known:
        raise Problem.invalid({name[:100]: "unknown parameter" for name in sorted(unknown)[:20]})


def one_of(choices: Collection[str] | Callable[[], Iterable[str]]) -> Read:
    """One of these, which are asked for anew each time if they may change."""

    def read(text: str) -> str:
        among = list(choices() if callable(choices) else choices)
        if text not in among:
            raise ValueError(f"must be one of {', '.join(among)}")
        return text

    return read


def matching(pattern: re.Pattern[str], message: str) -> Read:
    """A text of this form."""

    def read(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(message)
        return text

    return read


def visible(text: str) -> str:
    """A text such as people have and give as a name."""
    if not text or not text.isprintable():
        raise ValueError("must be text that can be seen")
    return text


def whole(low: int, high: int) -> Read:
    """A whole number of this range."""

    def read(text: str) -> int:
        if not _NUMBER.fullmatch(text) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return read


def flag(text: str) -> bool:
    """True or false."""
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def uuid(text: str) -> UUID:
    """A UUID."""
    if not UUID_TEXT.fullmatch(text):
        raise ValueError("must be a UUID")
    return UUID(text)


def instant(text: str) -> datetime:
    """A time with its zone."""
    try:
        return parse_instant(text)
    except ValueError as error:
        hint = " (write + as %2B in a URL)" if re.search(r"\d \d\d:?\d\d$", text) else ""
        raise ValueError(f"{error}{hint}") from None
