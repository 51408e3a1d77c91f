"""Letting go what waited for freezes: what is at the gate FREEZE is seen again, at once or at the rate of the thaw.

A freeze of types or targets that is thawed is not over before a walk over all that waits at that gate has found nothing
of it. Any scheduler may make each step, so that nobody is forgotten whoever dies: what the row says is all there is to
know. Tasks that another freeze still holds stay where they are, and come back with that one's thaw.

A freeze whose time has come holds nothing from that moment on: whatever asks compares the time. That it has ended is
noted soon after (`end_due_freezes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg
from django.conf import settings

from flow_app.assignment import hand_back_assigned
from flow_app.locking import take_pass
from flow_app.outlook import BEGINNING, Outlook, Place
from tasks_app.sessions import BATCH, Session

#: Seconds until what a walk found in other hands is looked at again.
LOOK_AGAIN: Final = 0.1

# Those that are not over. Not the ORM: schedulers ask over sessions of their own. Index: freezes_going.
_GOING = """
SELECT id, types <> '{}' OR targets <> '{}', thawed_at IS NOT NULL,
       extract(epoch FROM CASE WHEN thawed_at IS NULL THEN until END - now())::float8
  FROM freezes
 WHERE ended_at IS NULL
 ORDER BY id"""


class Going(NamedTuple):
    """A freeze that is not over. ``narrow``: of types or targets. ``ends_in``: seconds until its time; None: none."""

    id: UUID
    narrow: bool
    thawed: bool
    ends_in: float | None


class Released(NamedTuple):
    """Up to which place what waited is back (None: the end), how many of it were met and opened, whether that was all.

    ``next_in``: seconds until there is another token.
    """

    level: int | None
    run_at: str | None
    task_id: UUID | None
    met: int
    opened: int
    over: bool
    next_in: float

    def place(self, *, clean: bool = True) -> Place | None:
        """Where the walk goes on; None: it is at its end."""
        if self.level is None or self.run_at is None or self.task_id is None:
            return None
        return Place(self.level, self.run_at, self.task_id, clean)


def open_thawed(session: Session, outlook: Outlook) -> float:
    """Open some of what waited for each freeze that is thawed; return the seconds until more may be opened.

    Infinite when nobody knows: no freeze is thawed, or has a time. Raises `DatabaseAway`.
    """
    if not outlook.frozen:
        return float("inf")
    going = [each for each in find_going(session) if each.narrow]
    if any(each.ends_in is not None and each.ends_in <= 0 for each in going):
        end_due_freezes(session)
        going = [each for each in find_going(session) if each.narrow]
    thawed = {each.id for each in going if each.thawed}
    outlook.thaws = {freeze: place for freeze, place in outlook.thaws.items() if freeze in thawed}
    waits = [_step(session, freeze, outlook) for freeze in sorted(thawed)]
    waits += [max(each.ends_in, 0.0) for each in going if each.ends_in is not None]
    outlook.frozen = bool(waits)
    return min(waits, default=float("inf"))


def _step(session: Session, freeze: UUID, outlook: Outlook) -> float:
    """One step of the walk of a thaw; the seconds until the next one."""
    place = outlook.thaws.get(freeze, BEGINNING)
    found = release_frozen(session, freeze, place)
    if found is None:
        return LOOK_AGAIN
    if found.opened:
        outlook.pairs.doubt()
    if (reached := found.place(clean=place.clean and not found.met)) is None:
        outlook.thaws.pop(freeze, None)
        return LOOK_AGAIN if found.met and not found.opened else 0.0
    outlook.thaws[freeze] = reached
    return found.next_in


def find_going(session: Session) -> list[Going]:
    """The freezes that are not over. Raises `DatabaseAway`."""
    return [Going._make(row) for row in session.fetch(_GOING)]


def release_frozen(
    session: Session, freeze: UUID | None, place: Place = BEGINNING, *, limit: int = BATCH
) -> Released | None:
    """Open the next of what waited for a freeze; None: somebody else does, or it is over. Raises `DatabaseAway`.

    Of no freeze: what waits for none that there is.
    """
    asked: dict[str, Any] = {"freeze": freeze, "limit": limit, "clean": place.clean}
    asked |= {"level": place.level, "run_at": place.run_at, "id": place.task_id}
    rows = session.rows("release_frozen", asked, of=Released)
    return rows[0] if rows else None


def end_due_freezes(session: Session) -> list[UUID]:
    """Note of freezes whose time has come that they hold nothing; return which, none while somebody makes a pass.

    Raises `DatabaseAway`.
    """
    try:
        with session.connection.transaction():
            take_pass(session)
            due = session.send("end_due_freezes").fetchall()
            if names := [name for _, queues in due for name in queues]:
                session.send("freeze_queues", {"names": names})
    except psycopg.Error as error:
        session.fail(error)
    return [freeze for freeze, _ in due]


def delete_old_freezes(session: Session, *, limit: int = BATCH) -> int:
    """Delete up to ``limit`` freezes past the retention of failed tasks. Raises `DatabaseAway`."""
    age = settings.SCHEDULER.retention_failed
    return 0 if age is None else len(session.rows("delete_old_freezes", {"age": age, "limit": limit}))


@dataclass(slots=True)
class Sweeper:
    """What nobody else comes to: freezes whose time is over, frozen tasks that somebody held when they were taken
    back, tasks that wait for a freeze that is gone; and its scheduler is told of thaws that another one has left.
    """

    outlook: Outlook
    place: Place = BEGINNING

    def sweep(self, session: Session) -> int:
        """Return how many rows were changed. Raises `DatabaseAway`."""
        going = find_going(session)
        self.outlook.frozen |= any(each.narrow and (each.thawed or each.ends_in is not None) for each in going)
        changed = 0
        if any(each.ends_in is not None and each.ends_in <= 0 for each in going):
            changed += len(end_due_freezes(session))
        if any(not each.thawed for each in going):
            changed += hand_back_assigned(session, frozen=True, reason="it is frozen")
        return changed + self._open_strays(session)

    def _open_strays(self, session: Session) -> int:
        found = release_frozen(session, None, self.place)
        assert found is not None
        self.place = found.place() or BEGINNING
        return found.opened
