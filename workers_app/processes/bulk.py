"""A scheduler's part in bulk operations: it does their pieces, one after another, while any operation is running.

The housekeeper sees that there is one, and wakes the runner, which has a thread and a connection only then. Schedulers
share the pieces of an operation, and take turns by its row.
"""

from __future__ import annotations

import threading
from typing import Final

import psycopg
import structlog

from access_app.database_faults import DatabaseAway
from tasks_app import wakeups
from tasks_app.acts import BulkAction
from tasks_app.api.operation_filters import condition_of_filter
from tasks_app.pieces import Pace, Piece, do_piece
from tasks_app.sessions import Session

log = structlog.get_logger(__name__)

#: Seconds until a runner looks again that found every due operation in other hands; and at most between two looks.
SOON: Final = 0.05
LATEST: Final = 1.0


class BulkRunner:
    """Does pieces until there is no operation left that is running."""

    def __init__(self) -> None:
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """See to it that pieces are done."""
        if self._closed.is_set() or (self._thread is not None and self._thread.is_alive()):
            return
        self._thread = threading.Thread(target=self._run, name="bulk operations", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finish the piece that is being done, and do no other."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _run(self) -> None:
        """Whatever goes wrong ends the thread: the next round of the housekeeper starts another."""
        session, pace = Session("bulk operations", idle_in_transaction_session_timeout="2000"), Pace()
        try:
            while (rest := step(session, pace)) is not None and not self._closed.wait(rest):
                pass
        except DatabaseAway as error:
            log.debug("bulk_operation_interrupted", error=str(error))
        except psycopg.Error:
            log.exception("bulk_operation_interrupted")
        finally:
            session.close()


def step(session: Session, pace: Pace) -> float | None:
    """Do one piece, and return how many seconds to rest; None: no operation is running. Raises `DatabaseAway`."""
    piece = do_piece(session, pace, condition_of_filter)
    if piece is not None:
        _tell(session, piece)
        return 0.0
    [(due_in,)] = session.fetch(
        "SELECT extract(epoch FROM min(due_at) - now())::float FROM bulk_operations WHERE state = 'RUNNING'"
    )
    return None if due_in is None else min(due_in if due_in > 0 else SOON, LATEST)


def do_due(session: Session) -> None:
    """Do the pieces that are due now. Raises `DatabaseAway`."""
    pace = Pace()
    while step(session, pace) == 0.0:
        pass


def _tell(session: Session, piece: Piece) -> None:
    """Notify those whom the piece concerns."""
    if piece.finished:
        log.info("bulk_operation_over", bulk_operation=str(piece.operation), state=str(piece.state))
    if piece.stop:
        wakeups.notify_stops(session, piece.stop)
    if piece.touched and piece.action is BulkAction.RETRY:
        wakeups.notify_schedulers(session, only_new=True)
    elif piece.touched and (piece.awaited or piece.action in (BulkAction.MOVE, BulkAction.REPRIORITISE)):
        wakeups.notify_schedulers(session)
