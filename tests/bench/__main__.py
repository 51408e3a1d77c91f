"""Measure the engine: ``make bench``, or ``python -m tests.bench``; options through ARGS.

    make bench ARGS="--only w1,w3 --repeat 3"
    make bench ARGS="--quick"                          a look whether everything works, in two minutes
    make bench ARGS="--settings '--concurrency 16; 2x --concurrency 400'"
    make bench ARGS="--only schedules --minutes 10"    recurring schedules; a part of it: --part kills
    make bench ARGS="--write"                          everything, and the tables and plots of docs/

Everything runs on loopback, on a PostgreSQL of its own with durability on, and is gone afterwards. Raw figures are
added to .data/bench/results.jsonl; the tables of docs/ are made of the last sitting of each workload in it.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from tests.bench import report
from tests.bench.bench import Bench, Setting, running_bench
from tests.bench.plots import write_plots
from tests.bench.results import Options, Record, Workload, read_latest
from tests.support.documents import write_generated
from tests.support.figures import number
from tests.support.machine import ROOT, Others, describe

SETTINGS = "--concurrency 16; --concurrency 400; --concurrency 1500; --processes 2 --concurrency 1500"


def main() -> int:
    arguments = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started is ended
    settings = [Setting.parse(text) for text in arguments.settings.split(";")]
    quick = arguments.quick
    repeat = arguments.repeat or (1 if quick else 3)
    options = Options(
        settings[-1:] if quick else settings, repeat, quick, arguments.tasks, arguments.minutes, arguments.part
    )
    out = arguments.out or ROOT / ".data/bench" / ("quick.jsonl" if quick else "results.jsonl")
    records: list[Record] = []
    failed: list[str] = []
    with running_bench() as bench:
        from tests.bench.workloads import WORKLOADS  # Django is set up now

        machine, sitting = describe(bench.server_version), datetime.now(UTC).isoformat(timespec="seconds")
        chosen = choose(WORKLOADS, arguments.only, soak=arguments.soak)
        for workload in chosen if not arguments.report else ():
            try:
                for record in measure(bench, workload, options, machine, sitting):
                    record.write(out)
                    records.append(record)
            except (RuntimeError, OSError, psycopg.Error) as error:
                failed.append(f"{workload.name}: {error}")
                sys.stderr.write(f"{failed[-1]}\n")
            if workload.name == "w1":
                options.best = fastest(records)
    if records:
        print(f"\n{report.tables(chosen, records)}\nRaw figures: {out}")
    if arguments.write or arguments.report:
        write(WORKLOADS, read_latest(out))
    sys.stderr.write("".join(f"failed: {text}\n" for text in failed))
    return 1 if failed else 0


def parse() -> argparse.Namespace:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", metavar="w1,w3", help="these workloads (default: all but soak)")
    parser.add_argument("--repeat", type=int, metavar="N", help="repetitions of each (3; with --quick 1)")
    parser.add_argument("--tasks", type=int, metavar="N", help="most tasks of a drain (200,000; with --quick 4,000)")
    parser.add_argument("--settings", default=SETTINGS, metavar="S", help=f"settings of the workers ({SETTINGS})")
    parser.add_argument("--quick", action="store_true", help="small numbers, one setting: does it work?")
    parser.add_argument("--soak", action="store_true", help="ten minutes at 1,000 tasks/s as well")
    parser.add_argument(
        "--minutes", type=int, metavar="N", help="length of soak (10), schedules (3), a phase of pressure (1)"
    )
    parser.add_argument(
        "--part",
        default="",
        metavar="P",
        help="of schedules: minute, kills, few, week, drain or pickup; of pressure: a phase",
    )
    parser.add_argument("--write", action="store_true", help="write the tables of docs/performance.md and the plots")
    parser.add_argument("--report", action="store_true", help="measure nothing, write them from the raw figures")
    parser.add_argument("--out", type=Path, help="where raw figures go (.data/bench/results.jsonl)")
    arguments = parser.parse_args()
    if arguments.quick and arguments.write:
        parser.error("--quick figures are not worth writing down")
    return arguments


def choose(workloads: dict[str, Workload], only: str, *, soak: bool) -> list[Workload]:
    names = [name.strip() for name in only.split(",") if name.strip()]
    if unknown := set(names) - workloads.keys():
        sys.exit(f"--only: there is no {', '.join(sorted(unknown))}; there are {', '.join(workloads)}")
    wanted = names or [name for name, workload in workloads.items() if not workload.on_request]
    return [workload for name, workload in workloads.items() if name in wanted or (soak and name == "soak")]


def measure(
    bench: Bench, workload: Workload, options: Options, machine: Mapping[str, Any], sitting: str
) -> Iterator[Record]:
    """All repetitions of a workload, said as they come."""
    for repetition in range(1 if workload.once else options.repeat):
        others, began = Others(lambda: bench.server_pid), time.monotonic()
        for run in workload.run(bench, options):
            at = datetime.now(UTC).isoformat(timespec="seconds")
            record = Record(workload.name, sitting, repetition, at, others.cores(), machine, run)
            values = "  ".join(f"{name} {number(value)}" for name, value in run.values.items())
            took = f"{time.monotonic() - began:.0f} s, others {record.other_cores:.2f}"
            print(f"{workload.name} [{run.case}] {values}  ({took})", flush=True)
            yield record
            others, began = Others(lambda: bench.server_pid), time.monotonic()


def fastest(records: Sequence[Record]) -> Setting | None:
    from tests.bench.workloads.w1_drain import rates

    medians = rates([record for record in records if record.workload == "w1"])
    return Setting.parse(max(medians, key=lambda case: medians[case])) if medians else None


def write(workloads: Mapping[str, Workload], records: Sequence[Record]) -> None:
    """The tables and plots of docs/: of each workload its last sitting."""
    plots = write_plots(ROOT / "docs/plots", records)
    images = "\n".join(f"![{path.stem.replace('_', ' ')}](plots/{path.name})" for path in plots)
    write_generated(ROOT / "docs/performance.md", f"{report.tables(workloads.values(), records)}\n{images}")


if __name__ == "__main__":
    sys.exit(main())
