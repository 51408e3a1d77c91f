"""Names of people and groups, which Django takes with any character: they are read in one line."""

from __future__ import annotations

from typing import Any, Final

from django.core.exceptions import ValidationError
from django.http import HttpRequest

from access_app.texts import problem_of_line

#: The longest that Django's own columns take.
MAX_NAME: Final = 150
NAMES: Final = frozenset({"name", "first_name", "last_name"})


def one_line(text: str) -> None:
    """A validator of forms."""
    if problem := problem_of_line(text, MAX_NAME):
        raise ValidationError(f"This {problem}.")


class OneLineNames:
    """Of a model admin: the fields of `NAMES` hold one line."""

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest | None, **options: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **options)  # type: ignore[misc]
        if field is not None and db_field.name in NAMES:
            field.validators = [*field.validators, one_line]
        return field
