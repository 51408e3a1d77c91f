"""Tasks that misbehave: they kill their worker, or fork, write, hide and leak without end. All are bounded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

import psutil

from tasks_app.fields import NewTask
from tests.chaos.campaign.campaign import DESCENDANTS_GONE, Campaign, Fault, Limit
from tests.chaos.campaign.effects import MARK
from tests.chaos.campaign.findings import Findings
from tests.chaos.campaign.load import SLEEPING, Kind

POISON = Kind("poison", ends=("FAILED",))
HOSTILE = Kind("hostile", ends=("SUCCESS", "FAILED"), writes=False)
MEMORY = 64 * 2**20
DESCRIPTORS = 16
SHARE = 0.9
#: The least time over which the rate of other tasks is looked at.
WINDOW = 6.0
TIMEOUT_MS = 4000

# 2^7 - 1 shells and sleeps, each waiting for two more.
FORK_BOMB = "b() { [ $1 -eq 0 ] && exec sleep 300; b $(($1-1)) & b $(($1-1)) & wait; }; b 6"
SETSID = "for i in 1 2 3 4 5 6 7 8; do setsid sh -c 'setsid sleep 300 & sleep 300' & done; sleep 0.3"
OUTPUT = "head -c 2147483648 /dev/zero"
CLOSED_PIPES = "exec </dev/null >&- 2>&-; (sleep 300 & sleep 300) & sleep 0.2"
HELD_PIPES = "sleep 300 & setsid sleep 300 & echo left"
DESCRIPTOR_LEAK = (
    "python3 -c 'import os, subprocess, time\n"
    "held = [os.dup(1) for _ in range(500)]\n"
    'subprocess.Popen(["sleep", "300"], close_fds=False)\n'
    "time.sleep(0.3)'"
)


def poison(campaign: Campaign, found: Findings) -> None:
    """Quarantined after three crashes; long tasks that ran on the same worker are not."""
    installation, load = campaign.installation, campaign.load
    bystanders = load.create(SLEEPING, [load.effect(SLEEPING, seconds=3) for _ in range(12)])
    running = "SELECT count(*) FROM tasks WHERE id = ANY(%s) AND status = 'RUNNING'"
    campaign.until(lambda: installation.ask_one(running, bystanders) == len(bystanders), timeout=20)
    [task_id] = load.create(POISON, [NewTask(type="CHAOS_POISON", correlation_id=MARK)])
    at = time.time()
    _ended(campaign, [task_id], timeout=60)
    found.times["quarantined"].append(time.time() - at)
    lost = "SELECT worker_id FROM task_executions WHERE task_id = %s AND status = 'LOST'"
    crashed = {row[0] for row in installation.ask(lost, task_id)}
    campaign.struck |= crashed
    [(reason,)] = installation.ask("SELECT end_reason FROM tasks WHERE id = %s", task_id)
    found.expect(reason == "QUARANTINED", f"the poison ended with {reason}")
    found.expect(len(crashed) == 3, f"the poison crashed {len(crashed)} workers")
    _ended(campaign, bystanders, timeout=60)
    beside = "SELECT count(*) FROM task_executions WHERE worker_id = ANY(%s) AND status = 'LOST' AND task_id = ANY(%s)"
    found.counts["bystanders crashed with it"] += installation.ask_one(beside, list(crashed), bystanders)
    failed = "SELECT count(*) FROM tasks WHERE id = ANY(%s) AND status <> 'SUCCESS'"
    found.expect(not installation.ask_one(failed, bystanders), "a bystander did not succeed")


def hostile(*commands: str) -> Callable[[Campaign, Findings], None]:
    """Run commands as SHELL tasks under a time-out, and look what they leave behind and what others lose by them."""

    def inject(campaign: Campaign, found: Findings) -> None:
        installation, load = campaign.installation, campaign.load
        workers = [psutil.Process(worker.pid) for worker in installation.incarnations()]
        tasks = [load.shell(command, timeout_ms=TIMEOUT_MS, max_retries=0) for command in commands]
        with Memory(workers) as memory:
            at = time.time()
            ids = load.create(HOSTILE, tasks)
            seen = _descendants(campaign, ids, timeout=20)
            end = _ended(campaign, ids, timeout=TIMEOUT_MS / 1000 + 20)
            found.times["ended"].append(end - at)
            gone = campaign.until(lambda: not any(_is_left(each) for each in seen), timeout=DESCENDANTS_GONE + 20)
            found.times["descendants gone"].append(gone - end)
            found.expect(gone - end <= DESCENDANTS_GONE, f"descendants lived for {gone - end:.1f} s")
            campaign.until(lambda: time.time() > at + WINDOW, timeout=WINDOW + 1)
        found.counts["descendants seen"] += len(seen)
        found.times["worker grew (MiB)"].append(memory.growth / 2**20)
        found.expect(memory.growth <= MEMORY, f"a worker grew by {memory.growth / 2**20:.0f} MiB")
        found.times["descriptors kept"].append(memory.descriptors)
        found.expect(memory.descriptors <= DESCRIPTORS, f"a worker keeps {memory.descriptors} more descriptors")
        share = campaign.share_of_rate(at, time.time())
        found.times["rate missing (share)"].append(max(0.0, 1 - share))
        found.expect(share >= SHARE, f"other tasks ran at {share:.0%} of their rate")

    return inject


class Memory(threading.Thread):
    """Watches how far any of some processes grows while the block runs, and the descriptors it keeps after it."""

    def __init__(self, processes: list[psutil.Process]) -> None:
        super().__init__(daemon=True)
        self._before = {process: (process.memory_info().rss, process.num_fds()) for process in processes}
        self._left = threading.Event()
        self.growth = self.descriptors = 0

    def __enter__(self) -> Memory:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self.join()
        for process, (_rss, descriptors) in self._before.items():
            self.descriptors = max(self.descriptors, process.num_fds() - descriptors)

    def run(self) -> None:
        while not self._left.wait(0.02):
            for process, (rss, _) in self._before.items():
                with suppress(psutil.NoSuchProcess):
                    self.growth = max(self.growth, process.memory_info().rss - rss)


def _ended(campaign: Campaign, ids: list[UUID], timeout: float) -> float:
    query = "SELECT count(*) FROM tasks WHERE id = ANY(%s) AND finished_at IS NULL"
    return campaign.until(lambda: campaign.installation.ask_one(query, ids) == 0, timeout=timeout)


def _descendants(campaign: Campaign, ids: list[UUID], timeout: float) -> list[psutil.Process]:
    """The processes of some tasks, once each has begun and while any is not over: found by their environment."""
    wanted = [f"TASK_ID={task_id}".encode() for task_id in ids]
    seen: dict[int, psutil.Process] = {}
    over = "SELECT count(*) FROM tasks WHERE id = ANY(%s) AND finished_at IS NULL"
    end = time.monotonic() + timeout
    while time.monotonic() < end and campaign.installation.ask_one(over, ids):
        for process in psutil.process_iter():
            with suppress(OSError, psutil.Error):
                if process.pid not in seen and process.environ().get("TASK_ID", "") in {w[8:].decode() for w in wanted}:
                    seen[process.pid] = process
    return list(seen.values())


def _is_left(process: psutil.Process) -> bool:
    return process.is_running()


HOSTILE_TASKS = (
    ("fork-bomb", "fork bomb (127 processes)", [FORK_BOMB]),
    ("output", "2 GB of output", [OUTPUT]),
    ("setsid", "setsid children of setsid children", [SETSID]),
    ("pipes", "closed pipes, and pipes held by orphans", [CLOSED_PIPES, HELD_PIPES]),
    ("descriptors", "500 descriptors leaked to an orphan", [DESCRIPTOR_LEAK]),
)
FAULTS = [
    Fault(
        name="poison",
        title="a task that kills its worker",
        target="quarantined after 3 crashes, long bystanders are not",
        inject=poison,
        full=10,
        short=2,
        workers=4,
    ),
    *(
        Fault(
            name=name,
            title=title,
            target="0 descendants after 5 s, worker + ≤ 64 MiB, others ≥ 90 % of their rate",
            inject=hostile(*commands),
            full=10,
            short=1,
            limits={"descendants gone": Limit(1, DESCENDANTS_GONE)},
            workers=4,
        )
        for name, title, commands in HOSTILE_TASKS
    ),
]
