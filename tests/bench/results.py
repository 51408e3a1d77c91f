"""What a workload is, and what it answers: runs, each a row of raw figures, kept as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.bench import Bench, Setting


@dataclass(slots=True)
class Options:
    """The command line. ``best`` is the fastest setting once W1 has found it."""

    settings: list[Setting]
    repeat: int
    quick: bool
    tasks: int | None
    soak_minutes: int
    best: Setting | None = None

    def count(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    @property
    def drain_tasks(self) -> int:
        return self.tasks or self.count(100_000, 4_000)

    @property
    def setting(self) -> Setting:
        """The setting of workloads that take one."""
        return self.best or self.settings[-1]


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement of one case. ``values`` go into the table, ``detail`` into the file of raw figures only."""

    case: str
    values: Mapping[str, float]
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """A run, and what went on meanwhile."""

    workload: str
    repetition: int
    at: str
    other_cores: float
    run: Run

    @classmethod
    def now(cls, workload: str, repetition: int, other_cores: float, run: Run) -> Record:
        return cls(workload, repetition, datetime.now(UTC).isoformat(timespec="seconds"), other_cores, run)

    def write(self, path: Path, machine: Mapping[str, Any]) -> None:
        line = {
            "workload": self.workload,
            "case": self.run.case,
            "repetition": self.repetition,
            "at": self.at,
            "other_cores": self.other_cores,
            "values": dict(self.run.values),
            "detail": dict(self.run.detail),
            "machine": dict(machine),
        }
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    @classmethod
    def read(cls, line: str) -> Record:
        raw = json.loads(line)
        run = Run(raw["case"], raw["values"], raw["detail"])
        return cls(raw["workload"], raw["repetition"], raw["at"], raw["other_cores"], run)


@dataclass(frozen=True, slots=True)
class Workload:
    """``run`` makes one repetition: a run of every case. ``columns`` are the table's: key of a value → heading."""

    name: str
    title: str
    text: str
    columns: Mapping[str, str]
    run: Callable[[Bench, Options], Iterator[Run]]
    summarize: Callable[[list[Record]], list[str]] = lambda _: []
    #: Once is enough, whatever --repeat says.
    once: bool = False
    #: Only when it is named.
    on_request: bool = False
