"""The law of equal predicates: SQL that speaks of tasks which wait, or which a worker owns, says what an index says.

A partial index is used only by a query that implies its predicate. A query that says less is answered by a walk over
all tasks, and one that means "waiting" by other words than the rest counts other rows than the rest. So each place
names the whole predicate of one index of `Task`, in the same words; more conditions may follow. Rows that a query has
by their ids were chosen before, and are only looked at again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest
from django.db import connection

from tasks_app.models import Task
from tests.support.product import Sql, all_sql, modules
from tests.support.sql_reading import Read, conjuncts, reads_of

#: What each means, and the words that only a query about such rows has.
WAITING: Final = (
    "tasks_due",
    "tasks_labelled",
    "tasks_suspects",
    "tasks_key_waiting",
    "tasks_gated",
    "tasks_gated_target",
    "tasks_turns",
)
OWNED: Final = ("tasks_owned",)
_ABOUT_WAITING: Final = re.compile(r"worker_id IS NULL|gate (=|>|<) \d|crash_count (=|>) 0")
_ABOUT_OWNED: Final = re.compile(r"worker_id (IS NOT NULL|=|<|>) ?.*")
_BY_ID: Final = re.compile(r"id (=|IN) .*")

#: Who may say less, and why.
EXCEPTIONS: Final = {
    "workers_app.invariants": "asks for the rows that break a rule, which are in no index of those that keep it",
}


def index_predicates() -> dict[str, frozenset[str]]:
    """The predicate of each partial index of `Task`, as the database is told it."""
    editor = connection.schema_editor(collect_sql=True)
    conditions = {
        index.name: index._get_condition_sql(Task, editor)
        for index in Task._meta.indexes
        if index.condition is not None
    }
    return {name: conjuncts(condition.removeprefix("(").removesuffix(")")) for name, condition in conditions.items()}


def missing(read: Read) -> str:
    """What a query does not say of the rows it is about; empty when it says the whole predicate of an index."""
    said = set(read.conditions)
    if any(_BY_ID.fullmatch(condition) for condition in said):
        return ""
    if any(condition.startswith("concurrency_key =") for condition in said):
        said.add("concurrency_key IS NOT NULL")  # the planner knows that nothing equals NULL
    if any(_ABOUT_WAITING.fullmatch(condition) for condition in said):
        return _nearest(said, WAITING)
    if any(_ABOUT_OWNED.fullmatch(condition) for condition in said):
        return _nearest(said | {"worker_id IS NOT NULL"}, OWNED)
    return ""


def _nearest(said: set[str], names: tuple[str, ...]) -> str:
    predicates = index_predicates()
    name = min(names, key=lambda each: len(predicates[each] - said))
    lacking = predicates[name] - said
    return f"{name} also asks for {' AND '.join(sorted(lacking))}" if lacking else ""


def _violations(texts: Iterator[Sql] | tuple[Sql, ...]) -> dict[str, str]:
    found = {sql.where: missing(read) for sql in texts for read in reads_of("tasks", sql.text) if missing(read)}
    return {where: problem for where, problem in found.items() if where not in EXCEPTIONS}


class TestStatements:
    def test_say_the_whole_predicate_of_an_index(self) -> None:
        assert _violations(all_sql()) == {}

    @pytest.mark.parametrize("where", EXCEPTIONS)
    def test_are_excepted_only_while_they_say_less(self, where: str) -> None:
        assert any(missing(read) for sql in all_sql() if sql.where == where for read in reads_of("tasks", sql.text))

    def test_are_read_at_all(self) -> None:
        """An eye that sees nothing finds nothing wrong."""
        about = [read for sql in all_sql() for read in reads_of("tasks", sql.text)]
        due = [read for read in about if index_predicates()["tasks_due"] <= read.conditions]
        owned = [read for read in about if index_predicates()["tasks_owned"] <= read.conditions]
        assert len(due) >= 12
        assert len(owned) >= 4


class TestMissing:
    """Each condition is taken away once from each predicate, wherever it stands."""

    @pytest.mark.parametrize(
        ("statement", "condition", "lacking"),
        [
            ("survey_due", "AND gate = 0", "gate = 0"),
            ("survey_due", "worker_id IS NULL AND", "worker_id IS NULL"),
            ("survey_due", "AND finished_at IS NULL", "finished_at IS NULL"),
            ("survey_due", "AND crash_count = 0", "crash_count"),
            ("survey_due", "AND crash_count > 0", "crash_count"),
            ("survey_due", "AND needs_id IS NULL", "needs_id IS NULL"),
            ("lock_labelled", "AND t.gate = 0", "gate = 0"),
            ("lock_candidates", "AND t.gate = 0", "gate = 0"),
            ("look_at_keys", "AND h.finished_at IS NULL", "finished_at IS NULL"),
            ("count_room", "AND t.finished_at IS NULL", "finished_at IS NULL"),
            ("anything_due", "AND concurrency_key IS NOT NULL", "concurrency_key IS NOT NULL"),
            ("release_idle_keys", "concurrency_key IS NOT NULL AND", "concurrency_key IS NOT NULL"),
            ("beat", "AND finished_at IS NULL", "finished_at IS NULL"),
            ("flow_app.queues", "AND t.gate = 0", "gate = 0"),
        ],
    )
    def test_names_what_a_statement_no_longer_says(self, statement: str, condition: str, lacking: str) -> None:
        [text] = [sql.text for sql in all_sql() if sql.where == statement and condition in sql.text]
        changed = text.replace(condition, "")
        assert lacking in _violations((Sql(statement, changed),)).get(statement, "")

    def test_is_nothing_for_rows_by_their_ids(self) -> None:
        [read] = reads_of("tasks", "SELECT 1 FROM tasks t WHERE t.id = ANY(%(ids)s) AND t.worker_id IS NULL")
        assert missing(read) == ""


class TestPython:
    def test_asks_by_the_names_of_the_predicates(self) -> None:
        """``WAITING_ROW`` and its like are what the indexes themselves are made of."""
        spelled = [
            module.name
            for module in modules()
            if re.search(r"\b(worker_id|finished_at)__isnull", module.text) and "migrations" not in module.name
        ]
        assert spelled == ["tasks_app.models"]
