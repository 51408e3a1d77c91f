"""Where the time of a pick-up goes: W3 with a clock at every stage, in both processes."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from functools import partial

from tests.bench import staged
from tests.bench.bench import Bench
from tests.bench.executors import read_marks
from tests.bench.results import Options, Run, Workload
from tests.bench.workloads.w3_pickup import CREATING, Creation, pick_up
from tests.support.figures import percentile


def run(bench: Bench, options: Options) -> Iterator[Run]:
    """As many tasks as W3, one each 20 ms; the medians of each stage."""
    count = options.count(200, 100)
    folder = bench.folder / "stages"
    for case, creating in CREATING.items():
        bench.fresh()
        for old in folder.iterdir() if folder.exists() else ():
            old.unlink()
        folder.mkdir(exist_ok=True)
        with bench.launched_by(staged.LAUNCHER, **{staged.FOLDER: str(folder)}):
            made, values = pick_up(bench, count, creating)
        yield Run(case, _figures(bench, made, staged.read(folder)) | {"call_p50": values["call_p50"]}, {"count": count})


def _figures(bench: Bench, made: list[Creation], marks: tuple[staged.Marks, staged.Marks]) -> dict[str, float]:
    scheduler, worker = marks
    calls = {task_id: call for task_id, call, _ in made}
    begun = read_marks(bench.marks)
    ways = staged.split(calls, begun, scheduler, worker)
    medians = {
        stage: round(1000 * statistics.median(seconds), 3)
        for stage, seconds in zip(staged.STAGES, zip(*ways, strict=True), strict=True)
    }
    times = partial(staged.count_between, first=made[0][1], last=max(begun.values()))
    a_task = {
        name: round(times(spans) / len(made), 2)
        for name, spans in (("surveys", scheduler.surveys), ("passes", scheduler.passes), ("starts", worker.starts))
    }
    creating = 1000 * percentile((back - call for _, call, back in made), 0.5)
    return {"creating": round(creating, 3), **medians, **a_task, "followed": len(ways) / len(made)}


WORKLOAD = Workload(
    "stages",
    "Stages of a pick-up",
    "W3 with a clock at each stage; medians of milliseconds. Each stage begins where the one before it ended; creating "
    "is beside them, from the call to its return. Surveys, passes and starts are counts for each task.",
    {
        "creating": "creating",
        **staged.STAGES,
        "call_p50": "call → body p50",
        "surveys": "surveys",
        "passes": "passes",
        "starts": "starts",
    },
    run,
)
