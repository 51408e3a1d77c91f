"""What a piece of work costs, on a machine that has other work too."""

from __future__ import annotations

import gc
from collections.abc import Callable
from time import thread_time


def cpu_seconds(work: Callable[[], object], *, enough: float, before: Callable[[], object] = lambda: None) -> float:
    """CPU seconds of this thread for ``work``: the least of up to five runs. The first below ``enough`` will do.

    Others on the machine only ever add, so what costs too much does in every run. The garbage of earlier tests is left
    alone meanwhile. ``before`` runs before each, and is not measured.
    """
    least = float("inf")
    for _ in range(5):
        before()
        gc.disable()
        try:
            began = thread_time()
            work()
            least = min(least, thread_time() - began)
        finally:
            gc.enable()
        if least < enough:
            break
    return least
