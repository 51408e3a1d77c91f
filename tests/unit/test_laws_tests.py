"""The laws of tests: a file has the name of what it tests, so that who changes a module finds its tests; and each
process that collects tests finds the same ones.
"""

from __future__ import annotations

import ast
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


def names_in(node: ast.AST) -> set[str]:
    """Of what a test may be named after: what stands in a mapping has a number instead."""
    if isinstance(node, ast.Dict):
        return set()
    inner = {name for child in ast.iter_child_nodes(node) for name in names_in(child)}
    return inner | {node.id} if isinstance(node, ast.Name) else inner


def names_by_text(call: ast.Call) -> bool:
    """Whether tests are named after values as they are printed."""
    return any(each.arg == "ids" and isinstance(each.value, ast.Name) for each in call.keywords)


def has_sets(call: ast.Call) -> bool:
    """Whether there are sets among the values: each process prints them in another order."""
    return any(isinstance(each, ast.Set | ast.SetComp) for each in ast.walk(call))


def test_no_test_is_named_by_an_id_that_is_another_one_in_each_process() -> None:
    """Processes that run tests side by side compare what they have collected, and refuse to begin."""
    found = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree, fresh = ast.parse(path.read_text()), {"unknown_id", "new_task_id", "uuid4"}
        for each in tree.body:
            if isinstance(each, ast.Assign) and names_in(each.value) & fresh:
                fresh |= {name for target in each.targets for name in names_in(target)}
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "parametrize":
                bad = names_in(call) & fresh or (names_by_text(call) and has_sets(call))
                found += [f"{path.name}:{call.lineno}"] if bad else []
    assert found == []
