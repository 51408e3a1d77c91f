"""A scheduler whose steps a test takes itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from workers_app.processes.scheduler import Scheduler


@contextmanager
def stepped_scheduler() -> Iterator[Scheduler]:
    """Not running; what it has opened is closed at the end."""
    made = Scheduler()
    yield made
    made._session.close()
    made._housekeeper._session.close()
    made.listener.close()
    made.pipe.close()
