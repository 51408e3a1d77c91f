"""An explicit-state model checker: all states that can be reached, breadth first, so counterexamples are the shortest.

A model is a set of steps (what may happen next in a state) and of properties. The checker knows nothing of tasks. It
looks for

- a state or a step that breaks an invariant,
- a state in which nothing can happen although the work is not done (deadlock),
- a state from which the work cannot be done any more by *fair* steps alone: those of a world in which nothing more goes
  wrong from then on. Found backwards, from the states where it is done, on the finished graph (livelock).

States that differ only in the names of things count once: the model gives each a canonical form.
"""

from __future__ import annotations

import gc
import time
from array import array
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Generic, NamedTuple, Protocol, TypeVar

S = TypeVar("S", bound=Hashable)


class Step(NamedTuple, Generic[S]):
    """Something that may happen: its name, to whom, whether it is fair (no fault), and what it leads to."""

    name: str
    args: tuple[object, ...]
    fair: bool
    after: S

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.args))})"


class Model(Protocol[S]):
    """What is checked. Invariants are about a state, laws about a step from one state to the next."""

    def initial(self) -> S: ...
    def steps(self, state: S) -> Iterator[Step[S]]: ...
    def broken_invariant(self, state: S) -> str | None: ...
    def broken_law(self, state: S, step: Step[S]) -> str | None: ...
    def done(self, state: S) -> bool: ...
    def canonical(self, state: S) -> S: ...
    def describe(self, before: S, after: S) -> Iterable[str]:
        """What changed between two states, for people."""


@dataclass(frozen=True)
class Violation:
    """Which property does not hold, and the shortest way there, step by step with what each changed."""

    broken: str
    trace: list[tuple[str, list[str]]]

    def __len__(self) -> int:
        return len(self.trace)

    def __str__(self) -> str:
        lines = [f"{self.broken} ({len(self)} steps)"]
        for number, (step, changes) in enumerate(self.trace, 1):
            lines.append(f"{number:4}  {step}")
            lines += [f"          {change}" for change in changes]
        return "\n".join(lines)


@dataclass(frozen=True)
class Report:
    """What was looked at, and what was found: ``violation`` is None when every property holds in every state."""

    states: int
    steps: int
    depth: int
    seconds: float
    #: The names of all steps that were taken somewhere.
    taken: frozenset[str]
    violation: Violation | None = None

    def __str__(self) -> str:
        figures = f"{self.states:,} states, {self.steps:,} steps, depth {self.depth}, {self.seconds:.1f} s"
        return f"{figures}\n{self.violation}" if self.violation else f"{figures}: holds"


class TooLarge(Exception):
    """The model has more states than the caller allowed."""


def check(model: Model[S], *, most_states: int = 20_000_000) -> Report:
    """Look at every reachable state; stop at the first that breaks something. Raises `TooLarge`."""
    return _Search(model, most_states).run()


class _Search(Generic[S]):
    """States are numbered in the order in which they were found, so those of one depth follow each other."""

    def __init__(self, model: Model[S], most_states: int) -> None:
        self.model = model
        self.most_states = most_states
        self.numbers: dict[S, int] = {}
        self.found: list[S] = []
        self.parents = array("i")
        self.done = bytearray()
        self.steps = 0
        self.taken: set[str] = set()
        # The fair steps, as pairs of numbers.
        self.sources, self.targets = array("I"), array("I")
        self.began = time.monotonic()

    def run(self) -> Report:
        """Nothing here is cyclic: the collector would look at millions of states again and again, and free none."""
        collects = gc.isenabled()
        gc.disable()
        try:
            return self._run()
        finally:
            if collects:
                gc.enable()

    def _run(self) -> Report:
        initial = self.model.initial()
        self._number(self.model.canonical(initial), -1)
        depth, broken = 0, self.model.broken_invariant(initial)
        if broken:
            return self._report(0, Violation(f"{broken} (at the beginning)", []))
        begin = 0
        while begin < len(self.found):
            end = len(self.found)
            for number in range(begin, end):
                if violation := self._expand(number):
                    return self._report(depth + 1, violation)
            begin, depth = end, depth + 1
        return self._report(depth - 1, self._stuck())

    def _expand(self, number: int) -> Violation | None:
        """Take every step from one state; return what is broken by it."""
        model, state = self.model, self.found[number]
        moved = False
        for step in model.steps(state):
            if step.after == state:
                continue
            moved = True
            self.steps += 1
            self.taken.add(step.name)
            if broken := model.broken_law(state, step):
                return Violation(broken, self._trace(number, last=step))
            after = model.canonical(step.after)
            target = self.numbers.get(after)
            if target is None:
                target = self._number(after, number)
                if broken := model.broken_invariant(after):
                    return Violation(broken, self._trace(target))
            if step.fair:
                self.sources.append(number)
                self.targets.append(target)
        if not moved and not self.done[number]:
            return Violation("deadlock: nothing can happen, and the work is not done", self._trace(number))
        return None

    def _number(self, state: S, parent: int) -> int:
        number = len(self.found)
        if number >= self.most_states:
            raise TooLarge(f"more than {self.most_states:,} states")
        self.numbers[state] = number
        self.found.append(state)
        self.parents.append(parent)
        self.done.append(self.model.done(state))
        return number

    def _stuck(self) -> Violation | None:
        """The nearest state from which no fair way leads to the end of the work."""
        count = len(self.found)
        # The fair steps into each state, side by side: those into n are sources[first[n]:first[n + 1]].
        into = array("I", bytes(4 * (count + 1)))
        for target in self.targets:
            into[target + 1] += 1
        first = array("I", accumulate(into))
        place, sources = array("I", first), array("I", bytes(4 * len(self.sources)))
        for source, target in zip(self.sources, self.targets, strict=True):
            sources[place[target]] = source
            place[target] += 1
        reaches = bytearray(self.done)
        todo = [number for number in range(count) if reaches[number]]
        while todo:
            number = todo.pop()
            for source in sources[first[number] : first[number + 1]]:
                if not reaches[source]:
                    reaches[source] = True
                    todo.append(source)
        stuck = reaches.find(0)
        return None if stuck < 0 else Violation("stuck: no fair way leads to the end of the work", self._trace(stuck))

    def _trace(self, number: int, last: Step[S] | None = None) -> list[tuple[str, list[str]]]:
        """The way to a state, told in the names of the initial state, and perhaps one step more."""
        path = [number]
        while (parent := self.parents[path[-1]]) >= 0:
            path.append(parent)
        state, told = self.model.initial(), []
        for canonical in [self.found[place] for place in reversed(path[:-1])]:
            step = next(s for s in self.model.steps(state) if self.model.canonical(s.after) == canonical)
            told.append((str(step), list(self.model.describe(state, step.after))))
            state = step.after
        if last is not None:
            goal = self.model.canonical(last.after)
            step = next(
                s
                for s in self.model.steps(state)
                if s.name == last.name and self.model.canonical(s.after) == goal and self.model.broken_law(state, s)
            )
            told.append((str(step), list(self.model.describe(state, step.after))))
        return told

    def _report(self, depth: int, violation: Violation | None) -> Report:
        return Report(
            len(self.found), self.steps, depth, time.monotonic() - self.began, frozenset(self.taken), violation
        )
