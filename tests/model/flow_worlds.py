"""The worlds of ``flow.py``, and what goes wrong in them when a guard is missing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from tests.model.flow import Flow, State, Steps, World

#: Seconds: `make chaos` looks through these, every run of the tests through the `QUICK` ones.
WORLDS: Final = {
    "a key that lets one run": World(of_key=1, later=1, crashes=True),
    "a key that is edited": World(of_key=1, edits=True),
    "a queue whose limit is lowered": World(of_key=0, burst=2, lowers=True),
    "a key that lets two run": World(crashes=True),
    "what is handed back and cancelled": World(returns=True),
    "all of it, two tasks": World(tasks=2, crashes=True, lowers=True, returns=True),
}
QUICK: Final = ("a key that lets one run", "a key that is edited")


class PassWithoutLock(Flow):
    """Two passes are made at once."""

    def may_take(self, state: State) -> bool:
        return True


class LowerWithoutPass(Flow):
    """A limit is lowered while a pass that has not seen it is under way."""

    def may_lower(self, state: State) -> bool:
        return True


class ParkWithoutLook(Flow):
    """A pass parks behind holders that may have ended since it looked."""

    def still_hold(self, state: State, holders: Iterable[int]) -> bool:
        return True


class TokenNotHeld(Flow):
    """What was given away and has not started keeps no token."""

    def waiting_tokens(self, state: State) -> int:
        return 0


class StartNotCounted(Flow):
    """A start since the last charge costs nothing."""

    def spent_tokens(self, state: State) -> int:
        return 0


class NoOpener(Flow):
    """Nobody opens the gate for the next one when a holder ends."""

    def made_way(self, state: State) -> State:
        return state


class NoSweeper(Flow):
    """Nobody looks for what an opener had to leave because it was locked."""

    def sweep(self, state: State) -> Steps:
        return iter(())


class Variant(NamedTuple):
    flow: type[Flow]
    world: World
    caught_by: str


LIMIT = "a queue has no more assigned than its limit"
RATE = "nothing starts without a token"
OPENER = "what is parked has somebody who opens it"

VARIANTS: Final = [
    Variant(PassWithoutLock, World(tasks=2, of_key=0, of_queue=1), LIMIT),
    Variant(LowerWithoutPass, World(tasks=2, of_key=0, lowers=True), LIMIT),
    Variant(ParkWithoutLook, World(tasks=2, later=1, of_key=1), OPENER),
    Variant(TokenNotHeld, World(tasks=2), RATE),
    Variant(StartNotCounted, World(tasks=2), RATE),
    Variant(NoOpener, World(tasks=2, of_key=1), OPENER),
    Variant(NoSweeper, World(tasks=2, of_key=1, edits=True), "stuck: no fair way leads to the end of the work"),
]
