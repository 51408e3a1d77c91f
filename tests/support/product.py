"""The product's own source, read for the tests of its laws: modules as trees, SQL as texts without comments."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
#: From the ground up.
APPS: Final = (
    "access_app",
    "tasks_app",
    "flow_app",
    "schedules_app",
    "workflows_app",
    "workers_app",
    "monitoring_app",
    "scheduler_project",
)
_SQL: Final = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|COPY)\s")
_COMMENT: Final = re.compile(r"--[^\n]*")


@dataclass(frozen=True, slots=True)
class Module:
    """A Python file of the product. ``name`` is dotted; a package has the name of its folder."""

    name: str
    path: Path
    text: str
    tree: ast.Module


@dataclass(frozen=True, slots=True)
class Sql:
    """A text of SQL without its comments, and where it stands: a statement's name, or the function that holds it."""

    where: str
    text: str


@cache
def modules() -> tuple[Module, ...]:
    """All of them, migrations too."""
    return tuple(_module(path) for app in APPS for path in sorted((ROOT / app).rglob("*.py")))


@cache
def statements() -> dict[str, Path]:
    """Every statement file by its name. A name that two apps use is kept once: a test of its own counts them."""
    return {path.stem: path for path in statement_files()}


def statement_files() -> list[Path]:
    return [path for app in APPS for path in sorted((ROOT / app).rglob("*.sql"))]


@cache
def all_sql() -> tuple[Sql, ...]:
    """Every statement file, and every string in Python that reads like SQL."""
    files = (Sql(path.stem, _COMMENT.sub("", path.read_text())) for path in statement_files())
    return (*files, *(sql for module in modules() for sql in _sql_in(module)))


def functions(module: Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every function with its dotted name, methods and inner functions too."""
    for where, node in placed(module):
        if isinstance(node, ast.FunctionDef):
            yield f"{where}.{node.name}", node


def placed(module: Module) -> Iterator[tuple[str, ast.AST]]:
    """Every node, with the dotted name of the function or class it stands in (at the top: of the module)."""
    waiting: list[tuple[str, ast.AST]] = [(module.name, module.tree)]
    while waiting:
        where, node = waiting.pop()
        inside = f"{where}.{node.name}" if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else where
        for child in ast.iter_child_nodes(node):
            yield inside, child
            waiting.append((inside, child))


def parsed(text: str, name: str = "example") -> Module:
    """A module made of a text, for the tests of a law's own eyes."""
    return Module(name, Path(f"{name}.py"), text, ast.parse(text))


def _module(path: Path) -> Module:
    parts = path.relative_to(ROOT).with_suffix("").parts
    text = path.read_text()
    return Module(".".join(part for part in parts if part != "__init__"), path, text, ast.parse(text))


def _sql_in(module: Module) -> Iterator[Sql]:
    inner: set[int] = set()
    for where, node in placed(module):
        if isinstance(node, ast.Expr):  # a docstring
            inner.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            inner |= {id(part) for part in node.values}
        if id(node) not in inner and (text := _text(node)) and _SQL.search(text):
            yield Sql(where, _COMMENT.sub("", text))


def _text(node: ast.AST) -> str:
    """A string as it stands, an f-string with ``…`` for what is put into it."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "…" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
