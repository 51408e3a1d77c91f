"""The table of docs/security.md that says who may do what. ``python -m tests.support.access_table`` writes it; a test
compares it with the code."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from access_app.rights import Action
from tests.support.environment_names import ROOT

PAGE: Final = ROOT / "docs" / "security.md"
BEGIN: Final = "<!-- made by python -m tests.support.access_table -->"
END: Final = "<!-- end -->"
_HEADER: Final = (
    "| action | allows | a key needs | a person needs | roles | type's scope | task token |",
    "|---|---|---|---|---|---|---|",
)


def rendered(page: str) -> str:
    """The page with the table as the code has it."""
    table = "\n".join((*_HEADER, *_rows()))
    made, count = re.subn(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: f"{BEGIN}\n{table}\n{END}", page, flags=re.DOTALL
    )
    assert count == 1, f"{PAGE.name} must have {BEGIN} and {END} once"
    return made


def _rows() -> Iterator[str]:
    for action in Action:
        key = "no key may" if action.scopes is None else _either(way.scopes or () for way in action.ways) or "any key"
        person = _either(way.permissions for way in action.ways) or "any staff"
        also = "yes" if action.runs else ""
        token = "yes" if action.by_task else ""
        yield f"| `{action}` | {action.allows} | {key} | {person} | {action.role} | {also} | {token} |"


def _either(ways: Iterable[Collection[str]]) -> str:
    return " or ".join(map(_names, ways))


def _names(names: Collection[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text()))
