"""The law of tests: a file of tests has the name of what it tests, so that who changes a module finds its tests."""

from __future__ import annotations

from typing import Final

import pytest

from tests.support.product import ROOT, modules

#: Where tests of modules are. The rest of `integration` is about pages, endpoints and commands.
FOLDERS: Final = ("unit", "unit/schedules", "integration/engine", "integration/schedules", "integration/workflows")
#: What they may be about other than a module: files of another kind, plans of statements, promises of many modules.
OTHER: Final = frozenset(
    {"chaos_oracles", "chaos_report", "deploy_files", "document", "gunicorn_conf", "matrix", "migration_rules"}
    | {
        "mutants",
        "pictures",
        "plans",
        "policies",
        "put_off",
        "readme",
        "reliability_doc",
        "requirements",
        "security_doc",
    }
    | {"vendored", "ways_out", "zone_rules"}
)


def names() -> set[str]:
    """Modules and packages as files of tests may call them: `recovery`, `api_inputs`, `laws`."""
    found = {"laws"}
    for module in modules():
        *_, package, stem = module.name.split(".") if "." in module.name else ("", module.name)
        found |= {stem, f"{package}_{stem}"}
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_file_of_tests_is_named_after_a_module_and_perhaps_an_aspect_of_it(folder: str) -> None:
    known, files = names(), {path.stem.removeprefix("test_") for path in (ROOT / "tests" / folder).glob("test_*.py")}
    assert files

    def mirrors(name: str) -> bool:
        words = name.split("_")
        return any("_".join(words[:end]) in known for end in range(1, len(words) + 1))

    assert {name for name in files - OTHER if not mirrors(name)} == set(), "name it after the module"
