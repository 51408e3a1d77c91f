"""An ordinary day of a shop, as rows: what the pictures of pages show. Names and numbers are the same each time."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from access_app.ids import derived_id
from access_app.models import AuditEvent
from flow_app.models import Freeze
from flow_app.queues import edit_queue, pause_queue
from monitoring_app.histograms import BOUNDS
from monitoring_app.models import Mark, MetricMinute
from schedules_app.firing_rules import FireState
from schedules_app.models import Schedule, ScheduleFire
from tasks_app.edges import TaskEdge
from tasks_app.models import Task, TaskExecution
from tasks_app.states import ExecutionStatus, Gate, TaskStatus
from tests.factories import make_batch, make_execution, make_failure, make_output, make_task
from tests.support.schedules import make_schedule, whole_now
from workers_app.models import Scheduler, Worker
from workflows_app.models import Batch

MINUTE: Final = timedelta(minutes=1)
#: Queue, type and payload of what the shop has done, and how many a minute.
WORK: Final[tuple[tuple[str, str, dict[str, Any], int], ...]] = (
    ("mail", "HTTP", {"method": "POST", "url": "https://mail.example.com/v1/send"}, 5),
    ("invoices", "SHELL", {"command": "render-invoice --order 41882"}, 2),
    ("thumbnails", "SHELL", {"command": "thumbnail --size 400 p/10442.jpg"}, 4),
    ("search", "HTTP", {"method": "PUT", "url": "https://search.example.com/products/7731"}, 3),
)
REASONS: Final = (
    ("HTTP_STATUS", "the server answered 503 Service Unavailable"),
    ("NETWORK", "connection to mail.example.com:443 refused"),
    ("EXIT_CODE", "exit code 2: no such order"),
)


@dataclass
class Shop:
    """The rows that pages are opened for."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    made: int = 0

    def id(self, ago: timedelta) -> UUID:
        self.made += 1
        return derived_id(self.now - ago, f"shop {self.made}")

    def task(self, work: int = 0, *, ago: timedelta = MINUTE, **columns: Any) -> Task:
        queue, kind, payload, _ = WORK[work]
        given = {"queue": queue, "type": kind, "payload": payload, "created_by": "key:shop", "correlation_id": None}
        return make_task(id=self.id(ago), **{**given, **columns})


def make_shop() -> Shop:
    """All of it. The youngest rows come last."""
    shop = Shop()
    make_processes(shop)
    make_hour(shop)
    make_minutes(shop)
    make_failures(shop)
    make_waiting(shop)
    make_schedules(shop)
    make_queues()
    return shop


def make_processes(shop: Shop) -> None:
    for n in range(4):
        Worker.objects.create(
            worker_id=shop.id(timedelta(hours=9, minutes=n)), pid=4100 + n, slots=16, host=f"node-{n % 2 + 1}",
            name=f"worker-{n + 1}", started_at=shop.now - timedelta(hours=9), running=(11, 9, 12, 4)[n],
            labels={"zone": "ab"[n % 2]},
        )  # fmt: skip
    for n in range(2):
        Scheduler.objects.create(
            scheduler_id=shop.id(timedelta(hours=9)), pid=4000 + n, host=f"node-{n + 1}",
            started_at=shop.now - timedelta(hours=9),
        )  # fmt: skip


def make_hour(shop: Shop) -> None:
    """What ended in the last hour."""
    tasks, attempts = [], []
    workers = list(Worker.objects.values_list("pk", flat=True))
    for minute in range(60, 0, -1):
        for queue, kind, payload, often in WORK:
            for _ in range(often + shop.chance.randrange(3)):
                ended = shop.now - MINUTE * minute + timedelta(seconds=shop.chance.randrange(1, 55))
                ran = timedelta(milliseconds=shop.chance.randrange(80, 2400))
                due = ended - ran - timedelta(milliseconds=shop.chance.randrange(4, 90))
                columns = {"queue": queue, "type": kind, "payload": payload, "created_by": "key:shop"}
                task = Task(
                    id=shop.id(shop.now - due), created_at=due, schedule_at=due, run_at=due, max_retries=3, attempt=1,
                    timeout_ms=300_000, status=TaskStatus.SUCCESS, started_at=ended - ran, finished_at=ended, **columns,
                )  # fmt: skip
                tasks.append(task)
                attempts.append(
                    TaskExecution(
                        task=task,
                        attempt=1,
                        worker_id=shop.chance.choice(workers),
                        due_at=due,
                        started_at=ended - ran,
                        finished_at=ended,
                        type=kind,
                        status="SUCCESS",
                        task_status="SUCCESS",
                    )
                )
    Task.objects.bulk_create(tasks)
    TaskExecution.objects.bulk_create(attempts)


def make_minutes(shop: Shop) -> None:
    """What charts of an hour and a day are drawn of."""
    rows = []
    for span, steps in ((1, 62), (10, 146)):
        end = shop.now.replace(minute=shop.now.minute // span * span, second=0, microsecond=0)
        for step in range(steps):
            at, burst = end - MINUTE * span * step, 26 < step < 34
            rows += _minute(shop, span, at, burst)
    MetricMinute.objects.bulk_create(rows)
    for ago, name in ((MINUTE * 36, "shop 4.18.0"), (MINUTE * 27, "shop 4.18.1")):
        Mark.objects.create(name=name, at=shop.now - ago, created_by="key:deploys")


def _minute(shop: Shop, span: int, at: datetime, burst: bool) -> list[MetricMinute]:
    def times(middle: float) -> dict[str, int]:
        bucket = sum(bound <= middle for bound in BOUNDS)
        return {str(bucket - 4): 12 * span, str(bucket): 30 * span, str(bucket + 5): 2 * span, str(bucket + 9): span}

    few = shop.chance.randrange
    rows = []
    for kind, middle, often in (("HTTP", 0.3, 420), ("SHELL", 1.9, 260)):
        failed = (few(60, 90) if burst else few(0, 9)) * span
        rows.append(
            MetricMinute(
                span=span,
                at=at,
                kind="type",
                name=kind,
                success=(often + few(80) - (120 if burst else 0)) * span,
                failed=failed,
                retried=failed * 4 // 5,
                given_up=failed - failed * 4 // 5,
                cancelled=few(3) * span,
                start_delay=times(0.4 if burst else 0.012),
                duration=times(middle * (2 if burst else 1)),
            )
        )
    for n, (name, _, _, often) in enumerate(WORK):
        waits = (few(900, 1300) if burst else few(40)) if n == 0 else few(20 * often)
        old = (few(30, 60) if burst else few(3)) if n == 0 else few(4)
        rows.append(MetricMinute(span=span, at=at, kind="queue", name=name, waiting=waits, oldest_due=float(old)))
    used = 64 if burst else few(30, 44)
    return [*rows, MetricMinute(span=span, at=at, kind="system", name="", slots_used=used, slots=64)]


def make_failures(shop: Shop) -> None:
    """Of a few kinds, more of them some hours ago."""
    for ago in (*range(90, 3000, 400), *range(4 * 3600, 5 * 3600, 240), *range(9 * 3600, 21 * 3600, 7200)):
        _fail(shop, 0, ago, f"HTTP 503 from mail.example.com, request {ago}")
    for ago in range(700, 20 * 3600, 6600):
        _fail(shop, 1, ago, f"render-invoice: no such order {ago}")
    for ago in (5_000, 5_300, 5_500, 48_000):
        _fail(shop, 3, ago, "connection to search.example.com:443 timed out after 5 s")


def _fail(shop: Shop, work: int, ago: int, message: str) -> None:
    at = shop.now - timedelta(seconds=ago)
    task = shop.task(work, ago=timedelta(seconds=ago + 40), status=TaskStatus.FAILED, attempt=1, finished_at=at)
    make_failure(message, task=task)


def make_waiting(shop: Shop) -> None:
    """What waits and runs now."""
    workers = list(Worker.objects.order_by("name"))
    for n in range(36):
        started = shop.now - timedelta(seconds=2 + n * 17)
        shop.task(n % 4, ago=timedelta(seconds=5 + n * 17), status=TaskStatus.RUNNING, started_at=started,
                  assigned_at=started, worker_id=workers[(0, 0, 1, 2, 2, 3)[n % 6]].pk)  # fmt: skip
    for n in range(14):
        shop.task((0, 0, 1, 2)[n % 4], ago=timedelta(seconds=n * 5))
    for n in range(6):
        later = shop.now + timedelta(minutes=10 * n + 4)
        shop.task(n % 4, ago=timedelta(seconds=70 + n), schedule_at=later, run_at=later)
    for n in range(3):
        later = shop.now + timedelta(seconds=14 + 9 * n)
        task = shop.task(3, ago=timedelta(seconds=60 + n), run_at=later, attempt=1, retry_count=1)
        make_execution(task, status=ExecutionStatus.FAILED, error_code="NETWORK", error_message=REASONS[1][1])


def make_schedules(shop: Shop) -> None:
    """Some, of which the first has a ledger."""
    noon = whole_now().replace(hour=2, minute=30, second=0)
    for name, words, ahead in (
        ("nightly-report", "30 2 * * *", noon + timedelta(days=noon < shop.now) - whole_now()),
        ("reindex-products", "*/15 * * * *", timedelta(minutes=7)),
        ("send-newsletter", "0 9 * * mon", timedelta(hours=31)),
        ("expire-carts", "5 * * * *", timedelta(minutes=24)),
    ):
        task = {"type": "SHELL", "queue": "reports", "payload": {"command": f"{name} --all"}}
        schedule = make_schedule(name=name, cron=words, due=0, task=task, created_by="user:anna")
        Schedule.objects.filter(pk=schedule.pk).update(
            next_fire_at=whole_now() + ahead, next_slot=whole_now() + ahead, created_at=shop.now - timedelta(days=90)
        )
    nightly = Schedule.objects.get(name="nightly-report")
    Schedule.objects.filter(pk=nightly.pk).update(
        description="Takings of the day before, for the bookkeepers.",
        last_fire_at=noon - timedelta(days=noon > shop.now),
    )
    for days in range(1, 60):
        at = noon - timedelta(days=days - (noon < shop.now))
        state = {9: FireState.MISSED, 10: FireState.MISSED, 24: FireState.LATE}.get(days, FireState.FIRED)
        late = timedelta(seconds=shop.chance.randrange(1, 9) / 10) + timedelta(hours=state == FireState.LATE)
        ScheduleFire.objects.create(schedule_id=nightly.pk, slot=at, due_at=at, decided_at=at + late, state=state)


def make_queues() -> None:
    edit_queue("mail", {"maxConcurrency": 24, "rateLimit": {"limit": 600, "periodSeconds": 60}}, actor="user:anna")
    edit_queue("invoices", {"maxConcurrency": 12}, actor="user:anna")
    edit_queue("thumbnails", {"maxConcurrency": 16}, actor="user:anna")
    pause_queue("reports", actor="user:anna", reason="the warehouse is being moved")


def make_failed_task(shop: Shop) -> Task:
    """A task that was tried three times."""
    task = shop.task(0, ago=timedelta(minutes=4), status=TaskStatus.FAILED, attempt=3, retry_count=2,
                     finished_at=shop.now - MINUTE, max_retries=2,
                     payload={"method": "POST", "url": "https://mail.example.com/v1/send",
                              "body": {"to": "customer 41882", "template": "receipt"}})  # fmt: skip
    for attempt in (1, 2, 3):
        last = attempt == 3
        make_execution(
            task, attempt=attempt, status=ExecutionStatus.FAILED, started_at=shop.now - MINUTE * (5 - attempt),
            task_status=TaskStatus.FAILED if last else TaskStatus.PENDING, error_code="HTTP_STATUS",
            error_message="HTTP 503 from mail.example.com",
            result={"statusCode": 503, "body": "try again later", "headers": {"content-type": "text/plain"}},
        )  # fmt: skip
    return task


def make_build(shop: Shop) -> Task:
    """A task with coloured output in groups."""
    task = shop.task(2, ago=timedelta(minutes=3), status=TaskStatus.SUCCESS, attempt=1, finished_at=shop.now)
    lines = ["reading the list of pictures", "::group::Fetch 12 originals"]
    lines += [f"p/{10430 + n}.jpg  \x1b[32mok\x1b[0m  {180 + 37 * n % 211} kB" for n in range(12)]
    lines += ["::endgroup::", "::group::Scale to 400 px"]
    lines += [f"p/{10430 + n}.jpg -> t/{10430 + n}.webp  {0.1 + n * 7 % 9 / 10:.1f} s" for n in range(12)]
    lines += ["::endgroup::", "\x1b[33mwarning:\x1b[0m p/10437.jpg has no colour profile, sRGB is assumed",
              "\x1b[1m12 pictures, 0 failed\x1b[0m"]  # fmt: skip
    make_output(task, *(f"{line}\n" for line in lines))
    return task


def make_nightly_batch(shop: Shop) -> Batch:
    """A batch that is half done: takings are read, then summed up, checked and sent."""
    batch = make_batch(id=shop.id(timedelta(minutes=6)), name="takings of yesterday", created_by="schedule:nightly")
    parts = {"batch_id": batch.pk, "type": "SHELL", "queue": "reports", "ago": timedelta(minutes=5)}

    def part(command: str, **columns: Any) -> Task:
        return shop.task(1, **parts, payload={"command": command}, **columns)

    shops = [part(f"takings --shop {n}", status=TaskStatus.SUCCESS, attempt=1, has_dependents=True) for n in (1, 2)]
    shops += [part("takings --shop 3", status=TaskStatus.RUNNING, has_dependents=True)]
    total = part("sum-up", gate=Gate.DEPENDENCY, has_dependents=True)
    last = [part(command, gate=Gate.DEPENDENCY) for command in ("check-sums", "send-report")]
    for child, parents in ((total, shops), *((each, [total]) for each in last)):
        for parent in parents:
            outcome = parent.status if parent.finished_at else None
            TaskEdge.objects.create(child_id=child.pk, parent_id=parent.pk, outcome=outcome)
    return batch


def make_incident(shop: Shop) -> Freeze:
    """Mail is frozen."""
    AuditEvent.objects.create(actor="user:anna", action="freeze.opened", target="freeze", reason="the provider is down")
    return Freeze.objects.create(
        id=shop.id(timedelta(minutes=2)), queues=["mail"], targets=["mail.example.com"], created_by="user:anna",
        reason="the provider is down, they call back at 4", until=shop.now + timedelta(hours=2),
    )  # fmt: skip
