"""How the tables are that the hot statements write: vacuum, old snapshots, sizes of indexes. ``doctor`` judges them."""

from __future__ import annotations

from typing import Final, NamedTuple

from tasks_app.sessions import Session

#: Tables that are written all the time; dead row versions in them slow down every pass.
HOT_TABLES: Final = (
    "tasks",
    "task_executions",
    "worker_heartbeats",
    "scheduler_heartbeats",
    "scheduler_pass",
    "schedules",
)
#: How long somebody may keep dead rows from being removed; where no time is known, for how many transactions.
OLDEST_SNAPSHOT: Final = 300.0
OLDEST_SNAPSHOT_AGE: Final = 500_000
#: An index is worth a hint when it is large, and far larger than its entries need.
LARGE_INDEX: Final = 64 * 2**20
MOST_BYTES_PER_ENTRY: Final = 500


class TableHealth(NamedTuple):
    """How vacuum keeps up with one table; ``vacuumed_ago`` in seconds, None: never."""

    name: str
    live: int
    dead: int
    vacuumed_ago: float | None
    autovacuum: bool


class Holder(NamedTuple):
    """Who keeps dead rows from being removed, for how many seconds (if known) and transactions."""

    kind: str
    name: str
    detail: str
    seconds: float | None
    age: int

    @property
    def is_too_old(self) -> bool:
        return self.age >= OLDEST_SNAPSHOT_AGE if self.seconds is None else self.seconds >= OLDEST_SNAPSHOT


class IndexSize(NamedTuple):
    """The bytes of an index, and its entries as the last vacuum counted them (-1: not yet)."""

    name: str
    size: int
    entries: float

    @property
    def is_bloated(self) -> bool:
        return self.entries >= 0 and self.size >= LARGE_INDEX and self.size > self.entries * MOST_BYTES_PER_ENTRY


def table_health(session: Session) -> list[TableHealth]:
    return session.rows("table_health", {"tables": list(HOT_TABLES)}, of=TableHealth)


def old_snapshots(session: Session) -> list[Holder]:
    """The oldest first."""
    return session.rows("old_snapshots", of=Holder)


def index_sizes(session: Session) -> list[IndexSize]:
    """The largest first."""
    return session.rows("index_sizes", {"tables": list(HOT_TABLES)}, of=IndexSize)
