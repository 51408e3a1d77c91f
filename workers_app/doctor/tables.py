"""How the tables are that the hot statements write: vacuum, old snapshots, sizes of indexes, and what must hold."""

from __future__ import annotations

from typing import Final, NamedTuple

from tasks_app.sessions import Session
from workers_app import invariants
from workers_app.doctor.finding import Finding

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
#: Dead rows of a table that nobody has vacuumed for a while: fewer are normal between two rounds of autovacuum.
MOST_DEAD: Final = 10_000
MOST_DEAD_SHARE: Final = 0.3
VACUUM_WITHIN: Final = 600.0
#: By kind of holder in `old_snapshots.sql`.
_HOW_TO_END: Final = {
    "session": "end it: SELECT pg_terminate_backend({name}); idle_in_transaction_session_timeout prevents it",
    "standby": "look for a long query on that standby, or turn its hot_standby_feedback off",
    "slot": "drop it if nobody will use it again: SELECT pg_drop_replication_slot('{name}')",
    "prepared": "COMMIT PREPARED or ROLLBACK PREPARED '{name}'",
}


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


def check_autovacuum(session: Session) -> Finding:
    off = [table.name for table in table_health(session) if not table.autovacuum]
    detail = f"off for {', '.join(off)}" if off else "on for every hot table"
    advice = "turn `autovacuum` and `track_counts` on in postgresql.conf; ALTER TABLE … RESET (autovacuum_enabled)"
    return Finding("autovacuum", not off, detail, advice)


def check_dead_rows(session: Session) -> Finding:
    """Many dead rows are a problem only where vacuum has not been for a while: between two rounds they come and go."""
    parts, bad = [], []
    for table in table_health(session):
        share, ago = table.dead / max(1, table.live + table.dead), table.vacuumed_ago
        vacuumed = "never vacuumed" if ago is None else f"vacuumed {ago / 60:.0f} min ago"
        parts.append(f"{table.name} {share:.0%} ({vacuumed})")
        if table.dead >= MOST_DEAD and share >= MOST_DEAD_SHARE and (ago is None or ago >= VACUUM_WITHIN):
            bad.append(table.name)
    advice = f"run VACUUM {', '.join(bad)}; when that removes nothing, see the line old snapshot"
    return Finding("dead rows", not bad, "; ".join(parts), advice)


def check_old_snapshot(session: Session) -> Finding:
    """The one that has kept dead rows from being removed for longest, and how to end that."""
    holders = old_snapshots(session)
    too_old = [holder for holder in holders if holder.is_too_old]
    if not holders:
        return Finding("old snapshot", True, "nothing holds back vacuum")
    first = (too_old or holders)[0]
    since = "" if first.seconds is None else f" for {first.seconds:.0f} s"
    detail = f"{first.kind} {first.name} ({first.detail}) holds back vacuum{since}, {first.age} transactions"
    return Finding("old snapshot", not too_old, detail, _HOW_TO_END[first.kind].format(name=first.name))


def check_index_bloat(session: Session) -> Finding:
    sizes = index_sizes(session)
    bloated = [index for index in sizes if index.is_bloated]
    if not bloated:
        return Finding("index bloat", True, f"none of {len(sizes)} indexes is far larger than its entries")
    parts = [f"{index.name} takes {index.size / 2**20:.0f} MiB for {index.entries:.0f} entries" for index in bloated]
    return Finding("index bloat", False, "; ".join(parts), f"run REINDEX INDEX CONCURRENTLY {bloated[0].name}")


def check_invariants(session: Session) -> Finding:
    broken = invariants.violations(session)
    detail = "; ".join(f"{name}: {count} rows" for name, count in broken.items()) or f"{len(invariants.QUERIES)} hold"
    return Finding("invariants", not broken, detail, "this is a defect: keep the rows and report it")
