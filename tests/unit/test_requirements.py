"""The locks are complete: they install with --no-deps, and name the extras that older versions of pip would look up.

And what the documents and the metadata say of versions is so.
"""

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests import matrix

ROOT = Path(__file__).resolve().parents[2]
PINNED = re.compile(r"^([\w.-]+)(?:\[([\w,.-]+)\])?==\S+(?: ; (.+?))? \\$", re.MULTILINE)


#: Locked distributions that do not admit a Django which we do, as `CONTRIBUTING.md` and `docs/operations.md` say.
NOT_RELEASED_FOR = {"6.1": {"django-prometheus"}}


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


@pytest.mark.parametrize("lock", ["runtime", "embedded", "test"])
def test_a_lock_has_versions_that_its_distributions_take(lock: str) -> None:
    versions = dict(
        re.findall(r"^([\w.-]+)(?:\[[\w,.-]+\])?==(\S+)", (ROOT / f"requirements/{lock}.txt").read_text(), re.M)
    )
    wrong = [
        f"{name} needs {text}"
        for name in pinned(ROOT / f"requirements/{lock}.txt")
        for text in requires(name) or []
        if (version := versions.get(canonicalize_name(Requirement(text).name))) is not None
        and not Requirement(text).specifier.contains(version)
        and ((marker := Requirement(text).marker) is None or marker.evaluate({"extra": ""}))
    ]
    assert wrong == []


class TestDjango:
    def allowed(self) -> Requirement:
        [line] = re.findall("^Django.*$", (ROOT / "requirements/runtime.in").read_text(), re.M)
        return Requirement(line)

    def test_is_declared_as_it_is_allowed_and_tried(self) -> None:
        classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
        declared = [text.rpartition(" ")[2] for text in classifiers if text.startswith("Framework :: Django")]
        assert declared == list(matrix.DJANGOS)
        assert all(self.allowed().specifier.contains(f"{version}.99") for version in declared)
        assert not self.allowed().specifier.contains("6.2")

    def test_is_locked_in_its_oldest_version_on_every_python(self) -> None:
        locked = re.findall(r"^django==(\S+) (.)", (ROOT / "requirements/runtime.txt").read_text(), re.M)
        assert [(version.rpartition(".")[0], after) for version, after in locked] == [("5.2", "\\")]

    @pytest.mark.parametrize("version", matrix.DJANGOS)
    def test_is_admitted_by_all_but_those_we_name(self, version: str) -> None:
        refuse = {
            name
            for name in pinned(ROOT / "requirements/test.txt")
            for need in map(Requirement, requires(name) or [])
            if canonicalize_name(need.name) == "django" and not need.specifier.contains(f"{version}.99")
            if need.marker is None or need.marker.evaluate({"extra": ""})
        }
        assert refuse == NOT_RELEASED_FOR.get(version, set())
