"""Records as tables: on the terminal, and in docs/performance.md between its markers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.bench.results import Record, Workload
from tests.support.documents import table_row
from tests.support.figures import summary


def machine_line(machine: Mapping[str, Any]) -> str:
    return (
        f"{machine['cores']} cores ({machine['cpu']}), {machine['memory_gib']} GiB, Linux {machine['kernel']}; "
        f"Python {machine['python']}, Django {machine['django']}, psycopg {machine['psycopg']}, "
        f"PostgreSQL {machine['postgresql']}."
    )


def tables(workloads: Iterable[Workload], records: Sequence[Record]) -> str:
    """One table for each workload that has records: a row for each case, the median of each figure and its range."""
    by_name: dict[str, list[Record]] = {}
    for record in records:
        by_name.setdefault(record.workload, []).append(record)
    parts = list(dict.fromkeys(machine_line(record.machine) for record in records))
    for workload in workloads:
        if mine := by_name.get(workload.name):
            when = f"Commit {mine[-1].machine['commit']}, {mine[-1].at[:10]}."
            parts += [f"### {workload.title}", f"{workload.text} {when}", "\n".join(_table(workload, mine))]
            parts += workload.summarize(by_name)
    return "\n\n".join(parts) + "\n"


def _table(workload: Workload, records: list[Record]) -> list[str]:
    cases = list(dict.fromkeys(record.run.case for record in records))
    lines = [
        table_row(["case", *workload.columns.values(), "runs", "other cores"]),
        table_row(["---"] * (len(workload.columns) + 3)),
    ]
    for case in cases:
        mine = [record for record in records if record.run.case == case]
        cells = [
            summary([record.run.values[key] for record in mine if key in record.run.values]) for key in workload.columns
        ]
        busiest = max(record.other_cores for record in mine)
        lines.append(table_row([case, *cells, str(len(mine)), f"{busiest:.2f}"]))
    return lines
