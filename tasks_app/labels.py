"""Labels: what a task may require of those its worker has, and how such a set of requirements is written. Pure.

A set is an AND of keys; each key has an OR of values: ``{"gpu": "a100", "zone": ["a", "b"]}``. Two that mean the same
have one canonical text, whatever order they were written in. Workers get their labels on their command line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from access_app.refusals import InvalidInput, bounded
from access_app.texts import problem_of_line

MOST_KEYS: Final = 8
MOST_VALUES: Final = 8
#: Of all keys together: each costs a look at what is due some 0.5 µs a worker and set.
MOST_IN_ALL: Final = 16
#: Characters of a key or a value, here and of a worker's.
LONGEST_LABEL: Final = 100
#: Between the labels of a command line; no worker can have one with these in it.
_SEPARATOR: Final = ","
_EQUALS: Final = "="

#: What somebody requires: key → a value, or several of which one will do.
Required = Mapping[str, "str | list[str]"]


def read_required_labels(value: Any) -> Any:
    """Required labels as they came in JSON. Raises ValueError, or `InvalidInput` that names the bad ones."""
    if type(value) is not dict:
        raise ValueError("must be an object")
    if len(value) > MOST_KEYS:
        raise ValueError(f"must not have more than {MOST_KEYS} labels")
    problems = [(key, text) for key, values in value.items() if (text := _problem_of_required(key, values))]
    if problems:
        raise InvalidInput(bounded(problems))
    if sum(len(_listed(values)) for values in value.values()) > MOST_IN_ALL:
        raise ValueError(f"must not have more than {MOST_IN_ALL} values in all")
    return value


def canonical(required: Required) -> str:
    """The text of a set of requirements that were read: JSON, the same for all that mean the same."""
    sets = {key: sorted(set(_listed(values))) for key, values in required.items()}
    return json.dumps(sets, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def condition_of(text: str) -> str:
    """What the labels of a worker must fulfil, for a canonical text: a JSON path for PostgreSQL's ``@@``."""
    sets: dict[str, list[str]] = json.loads(text)
    return " && ".join(_any_of(key, values) for key, values in sets.items()) or "1 == 1"


def meets(required: Required, labels: Mapping[str, str]) -> bool:
    """Whether a worker with these labels has what is required."""
    return not _lacking(required, labels)


def nearest_miss(required: Required, workers: Sequence[Mapping[str, str]]) -> str:
    """What the worker that comes nearest lacks, in words, and what there is instead; there must be a worker."""
    lacking = min((_lacking(required, labels) for labels in workers), key=len, default=list(required))
    return " and no ".join(_miss(key, required[key], workers) for key in lacking)


def problem_of_label(text: str) -> str | None:
    """What is wrong with a key or a value; None for nothing."""
    if text != text.strip() or _SEPARATOR in text:
        return "no label has a comma in it, or spaces around it"
    return problem_of_line(text, LONGEST_LABEL)


def _problem_of_required(key: str, values: Any) -> str | None:
    if not key or _EQUALS in key:
        return "no label has an empty name, or one with = in it"
    if type(values) is list and not 1 <= len(values) <= MOST_VALUES:
        return f"must be a value, or a list of 1 to {MOST_VALUES} values"
    texts: Iterable[Any] = values if type(values) is list else [values]
    for text in (key, *texts):
        if not isinstance(text, str):
            return "must be a string, or a list of strings"
        if problem := problem_of_label(text):
            return problem
    return None


def _lacking(required: Required, labels: Mapping[str, str]) -> list[str]:
    return [key for key, values in required.items() if labels.get(key) not in _listed(values)]


def _miss(key: str, values: str | list[str], workers: Iterable[Mapping[str, str]]) -> str:
    there = sorted({labels[key] for labels in workers if key in labels})
    more = f" and {len(there) - MOST_VALUES} more" if len(there) > MOST_VALUES else ""
    instead = f"there is {', '.join(there[:MOST_VALUES])}{more}" if there else "none has that label"
    return f"{key}={'|'.join(_listed(values))} ({instead})"


def _listed(values: str | list[str]) -> list[str]:
    return [values] if isinstance(values, str) else values


def _any_of(key: str, values: list[str]) -> str:
    tests = " || ".join(f"$.{_quoted(key)} == {_quoted(value)}" for value in values)
    return f"({tests})"


def _quoted(text: str) -> str:
    """As JSON quotes it, which is how a JSON path does."""
    return json.dumps(text, ensure_ascii=False)
