"""The law of selectors: nothing outside an app asks its models; the app has functions that do, and know the indexes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

import pytest

from tests.support.product import APPS, Module, modules, placed

_MANAGERS: Final = {"objects", "_default_manager", "_base_manager"}


def foreign_models(module: Module) -> set[str]:
    """The names by which a module knows models of other apps, and their modules: ``from … import`` of any kind."""
    home, found = module.name.split(".")[0], set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in set(APPS) - {home}:
            of_models = (node.module or "").endswith(".models")
            found |= {each.asname or each.name for each in node.names if of_models or each.name == "models"}
    return found


def asked(module: Module) -> Iterator[str]:
    """Where a module asks a model of another app: ``Task.objects``, or ``models.Task.objects``."""
    foreign = foreign_models(module)
    for where, node in placed(module):
        if isinstance(node, ast.Attribute) and node.attr in _MANAGERS:
            model = node.value.value if isinstance(node.value, ast.Attribute) else node.value
            if isinstance(model, ast.Name) and model.id in foreign:
                yield f"{where}: {ast.unparse(node)}"


class TestSelectors:
    def test_nobody_reads_the_models_of_another_app(self) -> None:
        assert [place for module in modules() for place in asked(module)] == []

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("from tasks_app.models import Task\nTask.objects.all()", ["flow_app.x: Task.objects"]),
            ("from tasks_app.models import Task as T\nT._default_manager", ["flow_app.x: T._default_manager"]),
            ("from tasks_app import models\nmodels.Task.objects", ["flow_app.x: models.Task.objects"]),
            ("def f():\n    from tasks_app.models import Task\n    Task.objects", ["flow_app.x.f: Task.objects"]),
            ("from flow_app.models import Queue\nQueue.objects", []),
            ("from tasks_app.models import Task\nTask(pk=1).save()", []),
        ],
    )
    def test_are_found_however_they_are_written(self, text: str, found: list[str]) -> None:
        module = next(each for each in modules() if each.name == "flow_app.queues")
        assert list(asked(Module("flow_app.x", module.path, text, ast.parse(text)))) == found
