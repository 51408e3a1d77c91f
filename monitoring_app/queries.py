"""What the query strings of figures may ask for."""

from __future__ import annotations

import re
from typing import Final

from access_app.http.openapi.schemas import integer
from access_app.http.query import Parameter, Query, whole
from tasks_app.fields import QUEUE_NAME

MOST_HOURS: Final = 720
DEFAULT_HOURS: Final = 24


#: Most queues and labels that one request names.
MOST_QUEUES: Final = 100
MOST_LABELS: Final = 8
LONGEST_HORIZON: Final = 86_400
DEFAULT_HORIZON: Final = 60
_LABEL: Final = re.compile(r"[A-Za-z0-9._:/-]{1,100}=[A-Za-z0-9._:/-]{1,100}", re.ASCII)


def names_of_queues(text: str) -> list[str]:
    """Names, separated by commas. Raises ValueError."""
    names = text.split(",", MOST_QUEUES)
    if len(names) > MOST_QUEUES or not all(map(QUEUE_NAME.fullmatch, names)):
        raise ValueError(f"must be 1 to {MOST_QUEUES} names of queues, separated by commas")
    return names


def _labels(text: str) -> dict[str, str]:
    pairs = text.split(",", MOST_LABELS)
    labels = dict(pair.split("=", 1) for pair in pairs if _LABEL.fullmatch(pair))
    if len(pairs) > MOST_LABELS or len(labels) < len(pairs):
        raise ValueError(f"must be 1 to {MOST_LABELS} different labels, key=value, separated by commas")
    return labels


class DemandQuery(Query):
    """Which queues and workers are meant, and how far ahead to look."""

    queues = Parameter(
        names_of_queues,
        {"type": "string"},
        f"Names of queues, separated by commas, at most {MOST_QUEUES}; all if absent.",
    )
    labels = Parameter(
        _labels, {"type": "string"}, f"Labels of workers, key=value, separated by commas, at most {MOST_LABELS}."
    )
    horizonSeconds = Parameter(  # noqa: N815 - the name of the parameter
        whole(0, LONGEST_HORIZON),
        integer(0, LONGEST_HORIZON, default=DEFAULT_HORIZON),
        "Tasks that fall due within so many seconds are `soon`.",
        default=DEFAULT_HORIZON,
    )


class FiguresQuery(Query):
    """How far the figures look back."""

    hours = Parameter(
        whole(1, MOST_HOURS),
        integer(1, MOST_HOURS, default=DEFAULT_HOURS),
        "How many hours to look back.",
        default=DEFAULT_HOURS,
    )
