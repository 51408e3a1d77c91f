"""All rules of flow control at once, set, changed and ended in stories, against a model of what they mean.

To the stories of ``engine_machine.py`` come limits of queues, keys and targets, rates, back-offs, pauses, freezes,
labels and shared queues. The model says of each waiting task what holds it back; `why` must say the same. What is held
back does not start in the next pass, and once passes move nothing more, everything that still waits is held back by
something. Whatever was assigned in a step left every limit respected, and no hour saw more starts of a queue than its
rate allows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, NamedTuple
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from flow_app import freezes, opening, queue_keys, thawing
from flow_app.backing_off import back_off_targets
from flow_app.buckets import end_thaws
from flow_app.freezes import NewFreeze
from flow_app.models import Target
from flow_app.outlook import Outlook
from flow_app.queues import edit_queue, pause_queue, resume_queue
from flow_app.targets import Rules, delete_target, put_target
from flow_app.why import why
from flow_app.why_frozen import why_frozen
from tasks_app import services
from tasks_app.fields import NewTask
from tasks_app.states import FINAL, Gate
from tests.property.engine_machine import MOST_TASKS, QUEUES, EngineMachine, Incarnation, Row, some
from tests.support.engine import in_seconds

KEYS, HOSTS = ("k", "l"), ("t.example", "u.example")
HOUR = 3600
#: What `why` says without holding a task back, and what no model of this machine knows.
NO_REASON = {"AHEAD_IN_QUEUE", "NO_LIVE_SCHEDULER", "FAIR_SHARE"}
#: Reasons that a task may be assigned in spite of: to the prefetch of a worker, where it waits for a slot.
ONLY_SLOTS = {"WORKERS_BUSY", "SUSPECT_LIMIT"}

OPEN = """
    SELECT id, target, required_labels ->> 'gpu', worker_id IS NOT NULL, gate, type FROM tasks WHERE finished_at IS NULL
"""
#: For people.
OTHERS = """
    SELECT id, queue, concurrency_key, status, gate, target, tenant, limited, worker_id, crash_count, required_labels
      FROM tasks WHERE finished_at IS NULL
"""
TASK = st.fixed_dictionaries(
    {
        "queue": st.sampled_from(QUEUES),
        "concurrency_key": st.sampled_from([None, None, *KEYS]),
        "host": st.sampled_from([None, None, *HOSTS]),
        "fair_key": st.sampled_from([None, "x", "y"]),
        "gpu": st.sampled_from([None, None, None, "a", "z"]),
        "priority": st.integers(-1, 1),
        "who": st.sampled_from(["ann", "bob"]),
        "count": st.integers(1, 2),
    }
)
most = st.sampled_from([None, 0, 1, 2, 3])


class Wants(NamedTuple):
    """What else the model knows of an open task."""

    id: UUID
    target: str | None
    gpu: str | None
    owned: bool
    gate: int
    type: str


class FlowMachine(EngineMachine):
    # What `EngineMachine` plays often enough leaves room for more rules of flow control in each story.
    create = beat = finish = finish_a_batch = expire = leave = None  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        for table in ("buckets", "targets", "queue_turns", "queue_keys", "freezes"):
            self.session.execute(f"DELETE FROM {table}")
        self.labels: dict[UUID, dict[str, str]] = {}
        self.limits: dict[str, int | None] = dict.fromkeys(QUEUES)
        self.set_apart: dict[tuple[str, str], dict[str, Any]] = {}
        self.targets: dict[str, int | None] = {}
        #: What each open freeze names, and whether the next hour ends it.
        self.frozen: dict[UUID, tuple[set[str], bool]] = {}
        self.rates: dict[str, tuple[int, int]] = {}
        self.wants: dict[UUID, Wants] = {}
        self.owned_before: set[UUID] = set()
        #: Hours that have passed in the story, and in which of them tasks of a queue with a rate have started.
        self.hour = 0
        self.starts: dict[str, list[int]] = defaultdict(list)

    @initialize()
    def begin(self) -> None:
        for slots, queues, prefetch, labels in [(4, None, 0, {}), (1, ["a"], 1, {}), (2, None, 0, {"gpu": "a"})]:
            self.register(slots, queues, prefetch, labels)
        for queue in QUEUES:
            self.engine.create_many(2, queue=queue)
            self.create_for("ann", 2, host="t.example", queue=queue, concurrency_key="k")

    # People

    @rule(wanted=st.lists(TASK, min_size=1, max_size=4))
    def create_some(self, wanted: list[dict[str, Any]]) -> None:
        for each in wanted:
            self.create_for(**each)

    def create_for(self, who: str, count: int, host: str | None = None, gpu: str | None = None, **fields: Any) -> None:
        if sum(row.status not in FINAL for row in self.rows.values()) < MOST_TASKS:
            new = {"type": "DUMMY"} if host is None else {"type": "HTTP", "payload": {"url": f"http://{host}/"}}
            labels = {"required_labels": {"gpu": gpu}} if gpu else {}
            services.create_tasks([NewTask(**new | labels | fields) for _ in range(count)], created_by=who)

    @rule(queue=st.sampled_from(QUEUES), most=most)
    def limit_queue(self, queue: str, most: int | None) -> None:
        edit_queue(queue, {"maxConcurrency": most}, actor="person")
        self.limits[queue] = most

    @rule(
        queue=st.sampled_from(QUEUES), key=st.sampled_from(KEYS), most=st.sampled_from([None, 1, 2, 3]),
        paused=st.booleans(), weight=st.integers(1, 3),
    )  # fmt: skip
    def set_key_apart(self, queue: str, key: str, most: int | None, *, paused: bool, weight: int) -> None:
        value = {"maxConcurrency": most, "paused": paused, "weight": weight}
        queue_keys.set_key(queue, key, value, actor="person")
        self.set_apart[queue, key] = value

    @precondition(lambda self: self.set_apart)
    @rule(which=some)
    def unset_key(self, which: int) -> None:
        queue, key = sorted(self.set_apart)[which % len(self.set_apart)]
        queue_keys.delete_key(queue, key, actor="person")
        del self.set_apart[queue, key]

    @rule(queue=st.sampled_from(QUEUES), rate=st.none() | st.tuples(st.integers(1, 3), st.integers(0, 2)))
    def give_rate(self, queue: str, rate: tuple[int, int] | None) -> None:
        """By the hour: in a story that takes seconds no token comes but with `let_an_hour_pass`."""
        limit, burst = rate or (0, 0)
        value = {"limit": limit, "periodSeconds": HOUR, "burst": min(limit, burst)} if rate else None
        edit_queue(queue, {"rateLimit": value}, actor="person")
        if rate is None:
            self.rates.pop(queue, None)
        elif self.rates.get(queue) != (limit, min(limit, burst)):
            self.rates[queue] = limit, min(limit, burst)
            self.starts[queue].clear()

    @rule(queue=st.sampled_from(QUEUES), fair_by=st.sampled_from([None, "createdBy", "fairKey"]))
    def share(self, queue: str, fair_by: str | None) -> None:
        edit_queue(queue, {"fairBy": fair_by}, actor="person")

    @rule(host=st.sampled_from(HOSTS), most=most, respect=st.booleans())
    def limit_target(self, host: str, most: int | None, *, respect: bool) -> None:
        put_target(host, Rules(max_concurrency=most, respect_retry_after=respect), actor="person")
        self.targets[host] = most

    @precondition(lambda self: self.targets)
    @rule(which=some)
    def forget_target(self, which: int) -> None:
        host = sorted(self.targets)[which % len(self.targets)]
        delete_target(host, actor="person")
        del self.targets[host]

    @rule(host=st.sampled_from(HOSTS))
    def be_told_to_retry_after(self, host: str) -> None:
        respects = Target.objects.filter(host=host, respect_retry_after=True).exists()
        assert len(back_off_targets(self.session, [(host, HOUR)], actor="worker")) <= respects

    @rule(queue=st.sampled_from(QUEUES), slowly=st.booleans())
    def pause_or_resume(self, queue: str, *, slowly: bool) -> None:
        if queue in self.paused:
            rate = {"limit": 2, "periodSeconds": HOUR} if slowly else None
            resume_queue(queue, actor="person", rate=rate)
        else:
            pause_queue(queue, actor="person")
        self.paused ^= {queue}

    @rule(
        queue=st.sampled_from([None, *QUEUES]),
        host=st.sampled_from([None, None, *HOSTS]),
        task_type=st.sampled_from([None, None, "HTTP"]),
        soon_over=st.booleans(),
    )
    def freeze(self, queue: str | None, host: str | None, task_type: str | None, *, soon_over: bool) -> None:
        if len(self.frozen) < 3 and (names := {name for name in (queue, host, task_type) if name}):
            kinds = {"queues": queue, "targets": host, "types": task_type}
            named = {kind: [name] for kind, name in kinds.items() if name}
            new = NewFreeze(**named, until=in_seconds(HOUR / 2) if soon_over else None)  # type: ignore[arg-type]
            self.frozen[freezes.freeze(new, actor="person")[0].pk] = names, soon_over

    @precondition(lambda self: self.frozen)
    @rule(which=some, slowly=st.booleans())
    def thaw(self, which: int, *, slowly: bool) -> None:
        pk = sorted(self.frozen)[which % len(self.frozen)]
        freezes.thaw(pk, actor="person", rate={"limit": 2, "periodSeconds": HOUR} if slowly else None)
        del self.frozen[pk]

    # Time

    @rule()
    def let_an_hour_pass(self) -> None:
        super().let_an_hour_pass()
        self.hour += 1
        self.frozen = {pk: each for pk, each in self.frozen.items() if not each[1]}
        hour_ago = "{0} = {0} - interval '1 hour'".format
        self.session.execute(f"UPDATE freezes SET {hour_ago('until')}, {hour_ago('thaw_full_at')}")
        self.session.execute(f"UPDATE queues SET {hour_ago('frozen_until')}")
        self.session.execute("UPDATE buckets SET full_at = full_at - interval '1 hour'")
        self.session.execute("UPDATE targets SET backing_off_until = backing_off_until - interval '1 hour'")

    # Schedulers

    @rule()
    def open_gates(self) -> None:
        opening.open_known(self.session, Outlook())

    @rule(limit=st.integers(1, 2))
    def make_a_small_pass(self, limit: int) -> None:
        classes = sum(map(self.lives, self.incarnations))
        assert self.engine.assign(limit=limit).assigned <= limit * classes + classes

    @rule()
    def assign_all(self) -> None:
        """Open gates and pass until nothing moves; whatever waits then is held back by something that `why` names."""
        for _ in range(50):
            opening.open_known(self.session, Outlook())
            if not self.engine.assign().moved:
                break
        else:
            raise AssertionError("passes go on moving for ever")
        self.rows = self.read_checked()
        for row, said in self.said().items():
            assert said, f"nothing holds back {row}, {self.wants[row.id]}; there are {self.session.fetch(OTHERS)}"

    @rule()
    def keep_house(self) -> None:
        super().keep_house()
        opening.Sweeper(Outlook()).sweep(self.session)
        thawing.Sweeper(Outlook()).sweep(self.session)
        end_thaws(self.session)

    def passed_in_order(self, make_pass: Any) -> None:
        """What is held back when the pass begins is not given away by it, but to wait for a slot behind others."""
        said = self.said()
        make_pass()
        after = self.read()
        owned = Counter(row.worker_id for row in after.values() if row.status in ("SCHEDULED", "RUNNING"))
        for row, reasons in said.items():
            if after[row.id].status == "SCHEDULED" and after[row.id].due == row.due and reasons:
                worker = after[row.id].worker_id
                assert reasons <= ONLY_SLOTS, (row, reasons)
                assert owned[worker] > self.incarnations[worker].slots, (row, reasons)  # type: ignore[index]

    # Workers

    @rule(
        slots=st.integers(1, 4),
        queues=st.sampled_from([None, None, ["a"], ["b", "c"]]),
        prefetch=st.integers(0, 2),
        labels=st.sampled_from([{}, {"gpu": "a"}]),
    )
    def register(self, slots: int, queues: list[str] | None, prefetch: int, labels: dict[str, str]) -> None:
        if sum(map(self.lives, self.incarnations)) < 4:
            worker_id = self.engine.worker(slots=slots, queues=queues, prefetch=prefetch, labels=labels)
            self.incarnations[worker_id] = Incarnation(slots, prefetch, queues)
            self.labels[worker_id] = labels

    def replace(self, worker: UUID) -> None:
        old = self.incarnations[worker]
        self.register(old.slots, old.queues, old.prefetch, self.labels[worker])

    def start_on(self, worker: UUID, wanted: int, *, reply_lost: bool = False) -> None:
        known = len(self.started)
        super().start_on(worker, wanted, reply_lost=reply_lost)
        for work in self.started[known:]:
            queue = self.rows[work.attempt.task_id].queue
            if queue in self.rates:
                self.starts[queue].append(self.hour)

    # What must hold after every step

    @invariant()
    def what_was_assigned_came_under_every_limit(self) -> None:
        self.look()
        owned = {each.id for each in self.wants.values() if each.owned}
        rows = [self.rows[task_id] for task_id in owned]
        in_queues = Counter(row.queue for row in rows)
        of_keys = Counter((row.queue, row.key) for row in rows)
        of_targets = Counter(self.wants[row.id].target for row in rows)
        for task_id in owned - self.owned_before:
            row, target = self.rows[task_id], self.wants[task_id].target
            assert _within(in_queues[row.queue], self.limits[row.queue]), row
            assert row.key is None or of_keys[row.queue, row.key] <= self.most_of(row.queue, row.key), row
            assert _within(of_targets[target], self.targets.get(target or "")), row
        self.owned_before = owned

    @invariant()
    def no_window_sees_more_starts_than_its_rate(self) -> None:
        for queue, (limit, burst) in self.rates.items():
            assert all(count <= limit + burst for count in Counter(self.starts[queue]).values()), self.starts

    # The model

    def look(self) -> None:
        self.wants = {row[0]: Wants._make(row) for row in self.session.fetch(OPEN)}

    def said(self) -> dict[Row, set[str]]:
        """What holds back each waiting task: by `why`, which must agree with the model."""
        self.look()
        tokens = dict(self.session.fetch("SELECT name, min(tokens) FROM rated_queues GROUP BY name"))
        away = {host for (host,) in self.session.fetch("SELECT host FROM targets WHERE backing_off_until > now()")}
        waiting = [row for row in self.rows.values() if row.status == "PENDING"]
        tasks = [self.engine.task(row.id) for row in waiting]
        found = {row: why(task) + why_frozen(task) for row, task in zip(waiting, tasks, strict=True)}
        still = self.read()
        said = {}
        # What fell due between two looks is in the way of those with its key, in one of them only.
        moving = {(row.queue, row.key) for row in found if still[row.id].due != row.due}
        for row, reasons in found.items():
            if (row.queue, row.key) not in moving:
                said[row] = {reason.code for reason in reasons} - NO_REASON
                assert said[row] == self.held_back(row, tokens, away), (row, self.wants[row.id], reasons)
        return said

    def held_back(self, row: Row, tokens: dict[str, int], away: set[str]) -> set[str]:
        wants = self.wants[row.id]
        rows = [r for r in self.rows.values() if r.status in ("SCHEDULED", "RUNNING")]
        in_queue = sum(r.queue == row.queue for r in rows)
        of_key = sum((r.queue, r.key) == (row.queue, row.key) for r in rows)
        of_target = sum(self.wants[r.id].target == wants.target for r in rows)
        limit, most_calls = self.limits[row.queue], self.targets.get(wants.target or "")
        most_of_key = self.most_of(row.queue, row.key, paused=False) if row.key else 1000
        paused_key = self.set_apart.get((row.queue, row.key or ""), {}).get("paused", False)
        found = {
            "NOT_DUE": not row.due,
            "QUEUE_PAUSED": row.queue in self.paused,
            "FREEZE": wants.gate == Gate.FREEZE or self.is_frozen(row, wants),
            "QUEUE_CLOSED": limit == 0,
            "QUEUE_LIMIT": bool(limit) and not _has_room(in_queue, limit),
            "RATE_LIMIT": tokens.get(row.queue, 1) == 0,
            "KEY_PAUSED": paused_key,
            "KEY_LIMIT": row.key is not None and of_key >= most_of_key,
            "KEY_ORDER": of_key < most_of_key <= of_key + self.first_of_key(row),
            "TARGET_BACKING_OFF": wants.target in away,
            "TARGET_LIMIT": not _has_room(of_target, most_calls),
        }
        return {code for code, holds in found.items() if holds} | self.without_worker(row, wants, rows)

    def is_frozen(self, row: Row, wants: Wants) -> bool:
        return any(names & {row.queue, wants.target, wants.type} for names, _ in self.frozen.values())

    def first_of_key(self, row: Row) -> int:
        """How many tasks come first for the key of a task. What is parked for something else lets others of it go."""
        line = [
            r for r in self.rows.values() if (r.queue, r.key, r.status, r.due) == (row.queue, row.key, "PENDING", True)
        ]
        aside = {Gate.TARGET, Gate.FREEZE}
        return sum(r.place < row.place and self.wants[r.id].gate not in aside for r in line)

    def without_worker(self, row: Row, wants: Wants, owned: list[Row]) -> set[str]:
        serving = [w for w, each in self.incarnations.items() if each.serves(row.queue)]
        if not serving:
            return {"NO_LIVE_WORKER"}
        meeting = [w for w in serving if wants.gpu in (None, self.labels[w].get("gpu"))]
        if not meeting:
            return {"NO_WORKER_FOR_LABELS"}
        count = Counter(r.worker_id for r in owned)
        free = [w for w in meeting if count[w] < self.incarnations[w].slots]
        if not free:
            return {"WORKERS_BUSY"}
        suspects = {r.worker_id for r in owned if r.suspect}
        return {"SUSPECT_LIMIT"} if row.suspect and suspects.issuperset(free) else set()

    def most_of(self, queue: str, key: str, *, paused: bool = True) -> int:
        apart = self.set_apart.get((queue, key), {})
        if paused and apart.get("paused"):
            return 0
        return apart.get("maxConcurrency") or self.most_of_a_key[queue]


def _has_room(count: int, limit: int | None) -> bool:
    return limit is None or count < limit


def _within(count: int, limit: int | None) -> bool:
    return limit is None or count <= limit
