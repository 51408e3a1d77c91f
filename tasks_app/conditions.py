"""A filter of tasks as a condition in SQL, for statements that lock and write what matches.

It is compiled from the query that a list makes of the same filter, so that what is acted on is what was looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db.models import QuerySet

from tasks_app.models import Task

#: What stands in a statement where the condition goes, and where what an index in id order is about does.
MATCHES: Final = "true /* matches */"
NARROW: Final = "true /* narrow */"
#: The tasks of which an index in the order of their ids has none but them.
UNSUCCESSFUL: Final = "unsuccessful"


class UnreadableFilter(ValueError):
    """A filter that cannot be kept as it was meant. It never means everything."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What is true of the tasks that match, about the table or alias ``tasks``, with parameters by name."""

    sql: str
    parameters: dict[str, Any]
    #: What is true of them besides, for the sake of an index.
    narrow: str = "true"

    def put_into(self, text: str) -> str:
        """A statement with the condition in it."""
        return text.replace(MATCHES, f"({self.sql})").replace(NARROW, self.narrow)


def condition_of(rows: QuerySet[Task], *, narrow: str = "true") -> Condition:
    """The condition by which a query chooses tasks. Raises `UnreadableFilter` when it chooses all, or asks others."""
    query = rows.query
    compiler = query.get_compiler(using="default")
    try:
        sql, values = compiler.compile(query.where)
    except EmptyResultSet:
        return Condition("false", {})
    except FullResultSet:
        raise UnreadableFilter("the filter names nothing, and would mean every task") from None
    if not sql:
        raise UnreadableFilter("the filter names nothing, and would mean every task")
    if set(query.alias_map) - {Task._meta.db_table}:
        raise UnreadableFilter("the filter looks at other tables than that of tasks")
    parameters = {f"of_{number}": value for number, value in enumerate(values)}
    return Condition(_named(sql, iter(parameters)), parameters, narrow)


def _named(sql: str, names: Iterator[str]) -> str:
    """The same with a name for each ``%s``; ``%%`` stays."""
    return re.sub(r"%[s%]", lambda found: f"%({next(names)})s" if found[0] == "%s" else found[0], sql)
