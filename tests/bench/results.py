"""What a workload is, and what it returns: runs, each a row of raw figures, kept as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
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
    #: How long a workload of given length lasts; None: as long as it usually does.
    minutes: int | None = None
    #: Only this part of a workload that has parts.
    part: str = ""
    best: Setting | None = None

    def count(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    @property
    def drain_tasks(self) -> int:
        return self.tasks or self.count(200_000, 4_000)

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
    sitting: str
    repetition: int
    at: str
    other_cores: float
    machine: Mapping[str, Any]
    run: Run

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps(asdict(self)) + "\n")


def read_latest(path: Path) -> list[Record]:
    """Of each workload in a file of raw figures, the records of the last sitting that measured it."""
    records = []
    for line in path.read_text().splitlines():
        raw = json.loads(line)
        records.append(Record(**raw | {"run": Run(**raw["run"])}))
    latest = {record.workload: record.sitting for record in records}
    return [record for record in records if record.sitting == latest[record.workload]]


@dataclass(frozen=True, slots=True)
class Workload:
    """``run`` makes one repetition: a run of every case. ``columns`` are the table's: key of a value → heading."""

    name: str
    title: str
    text: str
    columns: Mapping[str, str]
    run: Callable[[Bench, Options], Iterator[Run]]
    #: Sentences under the table, from the records of all workloads by name.
    summarize: Callable[[Mapping[str, list[Record]]], list[str]] = lambda _: []
    #: Once is enough, whatever --repeat says.
    once: bool = False
    #: Only when it is named.
    on_request: bool = False
