"""How long a connection may take over what it does. Pure: the worker looks once a second, and ends what is overdue.

Nothing here waits for a slow client in a thread. These are the bounds for how long one may keep its connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

#: Seconds for the head of a request, from the connection's first moment.
HEAD_WITHIN: Final = 10.0
#: Seconds in which a body must come or a response be taken; of a large one, so many bytes of it in each such while.
MOVE_WITHIN: Final = 30.0
MOVE_AT_LEAST: Final = 1024 * 1024
#: Seconds in which a client may still take a response that was given before its request was read.
CLOSE_WITHIN: Final = 3.0
#: Seconds in which a request that is on its way has come, and its connection is not given up for another.
HEARD_WITHIN: Final = 0.25
#: Where connections run short: after so many seconds, a body or a response must have moved at so many bytes a second.
PRESSED_WITHIN: Final = 2.0
PRESSED_RATE: Final = 32 * 1024


class Phase(StrEnum):
    IDLE = "idle"
    HEAD = "head"
    BODY = "body"
    SERVING = "serving"
    RESPONSE = "response"
    CLOSING = "closing"


#: Phases in which nothing of the client's is in our hands: first to go when there are too many connections.
EXPENDABLE: Final = frozenset({Phase.IDLE, Phase.HEAD, Phase.CLOSING})


@dataclass(slots=True)
class Watch:
    """What was last seen of a connection: its phase, in which request, since when, and the bytes moved until then."""

    phase: Phase = Phase.HEAD
    request: int = 0
    since: float = 0.0
    moved: int = 0

    def is_overdue(self, phase: Phase, *, request: int, moved: int, now: float) -> bool:
        """Note what is seen now, and return whether it has gone on for too long. ``moved`` never shrinks."""
        goes_well = phase in (Phase.BODY, Phase.RESPONSE) and moved - self.moved >= MOVE_AT_LEAST
        if (phase, request) != (self.phase, self.request) or goes_well:
            self.phase, self.request, self.since, self.moved = phase, request, now, moved
        return now - self.since > allowed(phase)

    def is_slow(self, *, moved: int, now: float) -> bool:
        """Whether a body or a response moves too slowly to keep its connection where they run short."""
        lasted = now - self.since
        return lasted >= PRESSED_WITHIN and moved - self.moved < lasted * PRESSED_RATE


def allowed(phase: Phase) -> float:
    """Seconds a phase may last."""
    match phase:
        case Phase.HEAD:
            return HEAD_WITHIN
        case Phase.BODY | Phase.RESPONSE:
            return MOVE_WITHIN
        case Phase.CLOSING:
            return CLOSE_WITHIN
        case Phase.IDLE | Phase.SERVING:  # gunicorn's keep-alive ends the one, the application the other
            return float("inf")
