"""The locks are complete: they install with --no-deps, and name the extras that older versions of pip would look up."""

import re
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PINNED = re.compile(r"^([\w.-]+)(?:\[([\w,.-]+)\])?==\S+(?: ; (.+?))? \\$", re.MULTILINE)


def pinned(lock: Path) -> dict[str, set[str]]:
    """The extras of each distribution that ``lock`` installs on this machine."""
    found: dict[str, set[str]] = {}
    for name, extras, marker in PINNED.findall(lock.read_text()):
        line = Requirement(f"{name}; {marker}" if marker else name)
        if line.marker is None or line.marker.evaluate():
            found[canonicalize_name(name)] = set(extras.split(",")) if extras else set()
    return found


@pytest.mark.parametrize("lock", ["runtime", "embedded", "test"])
def test_a_lock_names_all_that_its_distributions_need(lock: str) -> None:
    locked = pinned(ROOT / f"requirements/{lock}.txt")
    missing = []
    for name, extras in locked.items():
        for text in requires(name) or []:
            need = Requirement(text)
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras | {""}):
                lacking = need.extras - locked.get(canonicalize_name(need.name), set())
                if canonicalize_name(need.name) not in locked or lacking:
                    missing.append(f"{name} needs {text}")
    assert locked
    assert missing == []
