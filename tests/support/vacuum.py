"""VACUUM whose effect a test can rely on: alone, and after whoever held dead rows back is gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tasks_app.sessions import Session
from tests.support.waiting import eventually

AUTOVACUUM = (
    "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker' AND datname = current_database()"
)
DEAD = "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = %(table)s::regclass"


@contextmanager
def no_autovacuum(session: Session, *tables: str) -> Iterator[None]:
    """Keep autovacuum from ``tables``, so that nothing is cleaned away or told to the planner while a test looks.

    One that has already chosen its tables goes on, waits for a VACUUM of ours, and then finds them empty; and while it
    analyses any other table, its snapshot holds dead rows back: so it must be gone.
    """
    for table in tables:
        session.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    try:
        eventually(lambda: session.fetch(AUTOVACUUM) == [(0,)], timeout=60)
        yield
    finally:
        for table in tables:
            session.execute(f"ALTER TABLE {table} RESET (autovacuum_enabled)")


def vacuum(session: Session, table: str) -> None:
    """Remove the dead rows of a table, however long the end of a session or process of a test before holds them."""

    def removed() -> bool:
        session.execute(f"VACUUM {table}")
        return session.fetch(DEAD, {"table": table}) == [(0,)]

    eventually(removed, timeout=30, interval=0.05)
