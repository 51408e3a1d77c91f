"""What was found out: times, counts and violations; and the file in which they add up over all runs."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Findings:
    """Of one repetition, or of one look at the whole. Times are seconds, by name."""

    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def expect(self, holds: object, violation: str) -> None:
        if not holds:
            self.violations.append(violation)

    def add(self, other: Findings) -> None:
        for name, values in other.times.items():
            self.times[name] += values
        self.counts += other.counts
        self.violations += other.violations


@dataclass(frozen=True, slots=True)
class Record:
    """A line of the file. ``times`` is how often the fault was injected: 0 for the look when all had settled."""

    fault: str
    times: int
    seed: int
    at: str
    machine: Mapping[str, Any]
    figures: Mapping[str, list[float]]
    counts: Mapping[str, int]
    violations: list[str]

    @classmethod
    def of(cls, fault: str, times: int, seed: int, at: str, machine: Mapping[str, Any], found: Findings) -> Record:
        figures = {name: [round(value, 4) for value in values] for name, values in found.times.items()}
        return cls(fault, times, seed, at, machine, figures, dict(found.counts), found.violations)

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps(asdict(self)) + "\n")


def read_records(path: Path) -> list[Record]:
    return [Record(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []
