"""The protocol with one guard missing at a time. The checker must find what each guard is for.

Each variant lives in a small world in which its guard matters, and says which property it must be caught by.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tests.model.protocol import Protocol, Steps
from tests.model.state import (
    EXITED,
    GONE,
    RUNNING,
    SCHEDULED,
    UNSURE,
    Body,
    Constants,
    Ending,
    Process,
    Row,
    Seen,
    State,
    Task,
    belongs,
)


class FinishWithoutAttempt(Protocol):
    """The finish compares no attempt."""

    def fence_holds(self, task: Task, ending: Ending) -> bool:
        return (task.owner, task.started, task.status) == (ending.worker, ending.started, RUNNING)


class FinishWithoutWorker(Protocol):
    """The finish compares the attempt only: after a failover it may be another worker's."""

    def fence_holds(self, task: Task, ending: Ending) -> bool:
        return (task.attempt, task.status) == (ending.attempt, RUNNING)


class FinishWithoutStart(Protocol):
    """The finish does not compare which start it was: an old timeline's is accepted on the new one."""

    def fence_holds(self, task: Task, ending: Ending) -> bool:
        return (task.attempt, task.owner, task.status) == (ending.attempt, ending.worker, RUNNING)


class FinishWithoutStatus(Protocol):
    """The finish does not look whether the task still runs."""

    def fence_holds(self, task: Task, ending: Ending) -> bool:
        return (task.attempt, task.owner, task.started) == (ending.attempt, ending.worker, ending.started)


class FinishWithoutCancel(Protocol):
    """The finish does not look whether a cancel was requested."""

    def cancelled_meanwhile(self, task: Task) -> bool:
        return False


class MarkWithoutBeat(Protocol):
    """The death mark does not compare the beat counter again."""

    def has_not_beaten(self, row: Row, seen: Seen) -> bool:
        return True


class MarkByElapsedTime(Protocol):
    """What was seen over a session that broke still counts."""

    def remembered(self, seen: tuple[Seen, ...]) -> tuple[Seen, ...]:
        return seen


class LeaseFromReply(Protocol):
    """The lease counts from when the answer to a beat came."""

    def renewed(self, process: Process) -> int:
        return 0


class FirstLeaseFromReply(Protocol):
    """The first lease counts from when the registration was answered."""

    def first_lease(self, process: Process) -> int:
        return 0


class SilentRegistration(Protocol):
    """A registration sent again raises no beat, so an observer goes on counting from the first."""

    def registered_again(self, state: State, worker: int) -> State:
        return state


class NoMargin(Protocol):
    """The worker keeps its work to the very end of its lease."""

    def usable_lease(self) -> int:
        return self.constants.lease


class NoAdoption(Protocol):
    """A worker never asks what it was given in an answer that was lost."""

    def adopt(self, state: State) -> Steps:
        return iter(())


class StartOnAnyTimeline(Protocol):
    """A worker goes on starting after a failover, although work that failover has forgotten may still run."""

    def knows_the_timeline(self, state: State, worker: int) -> bool:
        return True


class FollowWithoutStatus(Protocol):
    """What is compared after a failover may have been another worker's attempt, of a task that came back."""

    def known(self, state: State, worker: int, body: Body) -> bool:
        return belongs(state, worker, body)


class StartWithoutLooking(Protocol):
    """After a lost answer a worker starts more at once, and only then looks what it was given."""

    def may_ask(self, process: Process) -> bool:
        return process.starter in ("", UNSURE)


class StartWithoutState(Protocol):
    """The start does not look at the worker's own row."""

    def may_be_started(self, state: State, worker: int) -> bool:
        return True


class AssignWithoutLock(Protocol):
    """The worker was ACTIVE when the pass looked; by the commit it may be anything."""

    def may_be_assigned(self, state: State, worker: int) -> bool:
        return True


class HandBackOfStarted(Protocol):
    """The hand-back does not look whether the task was started."""

    def may_be_handed_back(self, task: Task) -> bool:
        return task.status in (SCHEDULED, RUNNING)


class HastyGuardian(Protocol):
    """The guardian marks the death when the worker has exited, before it has killed what is left."""

    def may_be_marked(self, process: Process) -> bool:
        return process.life in (EXITED, GONE)


class HastyLeave(Protocol):
    """A worker whose grace is over marks itself DEAD although some of its work does not stop."""

    def may_leave(self, process: Process) -> bool:
        return True


class Variant(NamedTuple):
    protocol: type[Protocol]
    world: Constants
    caught_by: str


STALE = "a finish ends only the attempt it was sent for"
ROBBED = "whoever is declared dead has dropped its work"
DEAD_END = "stuck: no fair way leads to the end of the work"
NOT_ACTIVE = "only an ACTIVE incarnation is given anything"


def _world(**constants: Any) -> Constants:
    return Constants(**{"hosts": 1, "incarnations": 1, "max_attempts": 2} | constants)


_TIMELESS: Final = _world(clock=False)

VARIANTS: Final = [
    Variant(FinishWithoutAttempt, _TIMELESS, STALE),
    Variant(FinishWithoutWorker, _world(hosts=2, clock=False, failovers=True), STALE),
    Variant(FinishWithoutStart, _world(clock=False, failovers=True), STALE),
    Variant(FinishWithoutStatus, _TIMELESS, "an ended task stays ended"),
    Variant(FinishWithoutCancel, _world(clock=False, cancels=True), "a cancelled task does not wait"),
    Variant(MarkWithoutBeat, _world(), ROBBED),
    Variant(MarkByElapsedTime, _world(failovers=True), ROBBED),
    Variant(LeaseFromReply, _world(lease=4), ROBBED),
    Variant(FirstLeaseFromReply, _world(), ROBBED),
    Variant(SilentRegistration, _world(losses=True), ROBBED),
    Variant(NoMargin, _world(), ROBBED),
    Variant(NoAdoption, _world(losses=True), DEAD_END),
    Variant(StartOnAnyTimeline, _world(slots=2, clock=False, failovers=True), "no worker executes one task twice"),
    Variant(
        FollowWithoutStatus,
        _world(hosts=2, slots=2, clock=False, failovers=True),
        "no worker executes one task twice",
    ),
    Variant(
        StartWithoutLooking,
        _world(tasks=2, prefetch=1, clock=False, losses=True),
        "no worker holds more than its slots",
    ),
    Variant(StartWithoutState, _world(), NOT_ACTIVE),
    Variant(AssignWithoutLock, _world(), NOT_ACTIVE),
    Variant(HandBackOfStarted, _TIMELESS, "an ended attempt has one history row, a running one none"),
    Variant(HastyGuardian, _world(crashes=True), ROBBED),
    Variant(HastyLeave, _world(drains=True), ROBBED),
]
