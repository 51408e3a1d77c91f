"""As much of SQL as the tests of laws need: what an UPDATE sets, and what a query asks of the rows of a table.

Not a parser of the language: it knows how our own statements are written (keywords in capitals, joins with ON), and a
statement written otherwise fails the test that reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|%\(\w+\)[sb]|%s|[\w.…$]+|::|<>|<=|>=|!=|=>|\|\||->>?|\S")
#: Keywords that end a list of conditions or assignments.
_ENDS = frozenset(
    {"WHERE", "GROUP", "ORDER", "LIMIT", "FOR", "UNION", "RETURNING", "FROM", "WINDOW", "HAVING", "SELECT", ";", "LOOP"}
    | {"JOIN", "LEFT", "CROSS", "INNER"}
)
_SOURCES = frozenset({"FROM", "JOIN"})


@dataclass(frozen=True, slots=True)
class Read:
    """One place where rows of a table are read, and the conditions on them: ANDed, without the table's alias."""

    alias: str
    conditions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Update:
    """One UPDATE: column → expression."""

    columns: dict[str, str]


def reads_of(table: str, sql: str) -> Iterator[Read]:
    """Every FROM and JOIN of the table, in every query of a statement however deep."""
    for tokens in _queries(_tokens(sql)):
        for place, token in enumerate(tokens):
            if token == table and place and tokens[place - 1] in _SOURCES and not _is_deletion(tokens, place):
                alias = _alias(tokens, place + 1)
                yield Read(alias, frozenset(_conditions_on(alias, tokens)))


def updates_of(table: str, sql: str) -> Iterator[Update]:
    """Every UPDATE of the table, however deep."""
    for tokens in _queries(_tokens(sql)):
        for place, token in enumerate(tokens):
            if token == table and place and tokens[place - 1] == "UPDATE" and "SET" in tokens[place:]:
                begin = tokens.index("SET", place) + 1
                yield Update(dict(_assignment(part) for part in _split(_until_end(tokens, begin), ",")))


def inserted_columns(table: str, sql: str) -> Iterator[str]:
    """What an INSERT or COPY into the table names."""
    for columns in re.findall(rf"\b(?:INSERT INTO|COPY) {table}\s*(?:AS \w+\s*)?\(([^)]*)\)", sql):
        yield from (column.strip() for column in columns.split(","))


def conjuncts(condition: str) -> frozenset[str]:
    """The parts of a condition that are ANDed, each in one spelling."""
    return frozenset(" ".join(part) for part in _split(_tokens(condition.replace('"', "")), "AND"))


def _tokens(sql: str) -> list[str]:
    return _TOKEN.findall(sql)


def _queries(tokens: list[str]) -> Iterator[list[str]]:
    """The tokens of each query by itself: what stands in its parentheses is one token of it, and a query of its own."""
    stack: list[list[str]] = [[]]
    for token in tokens:
        if token == "(":
            stack.append([])
        elif token == ")" and len(stack) > 1:
            inner = stack.pop()
            yield from _parts_of_union(inner)
            stack[-1].append(f"({' '.join(inner)})")
        elif token == ";":
            yield from _parts_of_union(stack[0])
            stack = [[]]
        else:
            stack[-1].append(token)
    yield from _parts_of_union(stack[0])


def _parts_of_union(tokens: list[str]) -> list[list[str]]:
    return _split(tokens, "UNION")


def _conditions_on(alias: str, tokens: list[str]) -> Iterator[str]:
    """The conditions of WHERE, and of the ONs, that speak of one table: by its alias, or the only table by no name."""
    for place, token in enumerate(tokens):
        if token in ("WHERE", "ON"):
            for condition in _split(_until_end(tokens, place + 1), "AND"):
                text = " ".join(condition)
                if not alias:
                    yield text
                elif re.search(rf"\b{alias}\.", text):
                    yield re.sub(rf"\b{alias}\.", "", text)


def _until_end(tokens: list[str], begin: int) -> list[str]:
    for place in range(begin, len(tokens)):
        distinct = tokens[place] == "FROM" and tokens[place - 1] == "DISTINCT"  # IS DISTINCT FROM
        if tokens[place] in _ENDS and not distinct:
            return tokens[begin:place]
    return tokens[begin:]


def _split(tokens: list[str], separator: str) -> list[list[str]]:
    """The parts between separators that belong to no CASE; the AND of a BETWEEN is none."""
    parts: list[list[str]] = [[]]
    cases, between = 0, False
    for token in tokens:
        cases += (token == "CASE") - (token == "END")
        if token == separator and not cases and not between:
            parts.append([])
        else:
            parts[-1].append(token)
            between = token == "BETWEEN" or (between and token != "AND")
    return [part for part in parts if part]


def _assignment(tokens: list[str]) -> tuple[str, str]:
    return tokens[0], " ".join(tokens[2:])


def _alias(tokens: list[str], place: int) -> str:
    """The name a table goes by in its query; empty when it has none of its own."""
    if place < len(tokens) and tokens[place] == "AS":
        place += 1
    word = tokens[place] if place < len(tokens) else ""
    return word if re.fullmatch(r"[a-z]\w*", word) else ""


def _is_deletion(tokens: list[str], place: int) -> bool:
    return place >= 2 and tokens[place - 2] == "DELETE"
