"""Records as tables: on the terminal, and in docs/performance.md between its markers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.figures import summary
from tests.bench.results import Record, Workload

BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"


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


def write_document(path: Path, generated: str) -> None:
    """Put the tables between the markers; what people wrote around them stays. Raises ValueError without markers."""
    text = path.read_text()
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path} has no {BEGIN} … {END}")
    path.write_text(f"{head}{BEGIN}\n{generated.strip()}\n{END}{tail}")


def _table(workload: Workload, records: list[Record]) -> list[str]:
    cases = list(dict.fromkeys(record.run.case for record in records))
    lines = [
        _row(["case", *workload.columns.values(), "runs", "other cores"]),
        _row(["---"] * (len(workload.columns) + 3)),
    ]
    for case in cases:
        mine = [record for record in records if record.run.case == case]
        cells = [
            summary([record.run.values[key] for record in mine if key in record.run.values]) for key in workload.columns
        ]
        busiest = max(record.other_cores for record in mine)
        lines.append(_row([case, *cells, str(len(mine)), f"{busiest:.2f}"]))
    return lines


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
