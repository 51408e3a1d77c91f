"""How much of a long search a run makes: a small part of it that is the same every time, or all of it.

`make test` makes the small part; ``WHOLE=1``, which `make chaos` sets, makes all. A test that has only one size is not
asked here: it is there, or marked ``chaos_long``.
"""

from __future__ import annotations

import os
from typing import Any, Final

from hypothesis import settings

WHOLE: Final = os.environ.get("WHOLE") == "1"


def examples(whole: int, *, part: int = 4, **others: Any) -> settings:
    """All examples, drawn anew each time, or one in ``part`` of them, the same each time."""
    count = whole if WHOLE else max(10, whole // part)
    return settings(max_examples=count, derandomize=not WHOLE, deadline=None, **others)
