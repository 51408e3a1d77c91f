"""What a scrape returns: well-formed families, counters that count every ended attempt once, and no more queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection
from django.db.models import Count
from prometheus_client.parser import text_string_to_metric_families

from monitoring_app import counting, families, labels, metrics, selectors
from monitoring_app.models import MetricMark, MetricTotal
from schedules_app.firing_rules import FireState
from schedules_app.models import ScheduleFire
from tasks_app import services
from tasks_app.expiry import expire_tasks
from tasks_app.models import Task, TaskExecution
from tasks_app.states import FINAL, ExecutionStatus, TaskStatus
from tests.factories import make_execution, make_key, make_task
from tests.integration.test_health import add_scheduler, add_worker
from tests.support.api import Api, problem_of
from tests.support.engine import CANCELLED, FAILED_FOR_GOOD, SUCCEEDED, Engine, in_seconds
from tests.support.waiting import eventually

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(autouse=True)
def no_reading_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_kept", None)


@pytest.fixture
def counted_db(committed_db: None) -> Iterator[None]:
    """Counting looks at who else has a transaction open, so it needs commits. It begins anew: others scrape too."""
    _forget_counts()
    yield
    _forget_counts()


def _forget_counts() -> None:
    MetricTotal.objects.all().delete()
    MetricMark.objects.update(counted_id=0, seen_id=0, seen_xid=0, late_at="")


def wait_for_nobody() -> None:
    """As if a minute had gone by: what was noted then is counted, whoever else has a transaction open."""
    MetricMark.objects.update(seen_at=datetime.now(UTC) - timedelta(minutes=2))


def scrape() -> Samples:
    """A fresh scrape, once everything that has ended is counted.

    What was committed is counted without waiting for others: tests beside this one hold transactions open for long.
    """

    def reading() -> metrics.Reading | None:
        wait_for_nobody()
        latest = metrics.read()
        return None if latest.uncounted else latest

    found = families.Families(eventually(reading, timeout=30)).collect()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in found
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((f"task_scheduler_{name}", tuple(sorted(labels.items()))), 0.0)


def end(status: ExecutionStatus, task_status: TaskStatus, *, ran: float = 0, waited: float = 0, **columns: Any) -> None:
    now = datetime.now(UTC)
    started = now - timedelta(seconds=ran)
    make_execution(
        make_task(type=columns.pop("type", "DUMMY")),
        status=status,
        task_status=task_status,
        started_at=started,
        due_at=started - timedelta(seconds=waited),
        finished_at=now,
        **columns,
    )


def add_fire(state: str, late: float) -> None:
    now = datetime.now(UTC)
    due = now - timedelta(seconds=late)
    ScheduleFire.objects.create(schedule_id=uuid4(), slot=due, due_at=due, decided_at=now, state=state)


class TestExposition:
    def test_is_prometheus_text_with_help_for_every_metric(self, api: Api) -> None:
        end(ExecutionStatus.SUCCESS, TaskStatus.SUCCESS)
        response = api.get("/metrics")
        assert response.status_code == 200
        assert response["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        found = {family.name: family for family in text_string_to_metric_families(response.content.decode())}
        ours = {name for name in found if name.startswith("task_scheduler_")}
        assert len(ours) >= 18
        assert all(found[name].documentation for name in ours)
        assert "django_http_requests_before_middlewares" in found

    def test_is_not_found_when_metrics_are_off(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        object.__setattr__(settings.SCHEDULER, "metrics_enabled", False)
        try:
            problem_of(api.get("/metrics"), 404)
            problem_of(Api(None).get("/metrics"), 401)
        finally:
            object.__setattr__(settings.SCHEDULER, "metrics_enabled", True)

    def test_holds_the_requests_of_all_processes(
        self, api: Api, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
        text = api.get("/metrics").content.decode()
        assert "task_scheduler_database_up 1.0" in text
        assert "python_info" not in text  # of one process, and so not of all

    def test_answers_while_the_database_is_away(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # No database fixture: the query that pytest-django refuses stands for a database that does.
        monkeypatch.setattr(metrics, "DATABASE_ERRORS", (RuntimeError,))
        [up] = [family for family in families.Families(metrics.read()).collect() if "database_up" in family.name]
        assert up.samples[0].value == 0


class TestStates:
    def test_are_those_of_the_database(self, api: Api) -> None:
        worker = add_worker(slots=6)
        add_worker(state="DEAD")
        add_scheduler()
        make_task(run_at=datetime.now(UTC) - timedelta(seconds=60))
        make_task(status=TaskStatus.RUNNING, worker_id=worker)
        found = families.Families(metrics.read()).collect()
        samples = {(s.name, tuple(sorted(s.labels.items()))): s.value for family in found for s in family.samples}
        assert [value(samples, "tasks", status=status) for status in ("PENDING", "SCHEDULED", "RUNNING")] == [1, 0, 1]
        assert [value(samples, "workers", state=state) for state in ("ACTIVE", "DEAD")] == [1, 1]
        assert value(samples, "workers_live") == value(samples, "schedulers_alive") == 1
        assert value(samples, "worker_slots") == 6
        assert value(samples, "oldest_due_age_seconds") == pytest.approx(60, abs=5)
        assert 0 < value(samples, "database_connections_used") <= value(samples, "database_connections_allowed")

    def test_are_read_once_in_five_seconds(self, api: Api, django_assert_num_queries: Any) -> None:
        api.get("/metrics")
        with django_assert_num_queries(1):  # the key
            api.get("/metrics")

    def test_cost_a_fixed_number_of_queries(self, api: Api, django_assert_max_num_queries: Any) -> None:
        metrics.read()
        for _ in range(30):
            end(ExecutionStatus.SUCCESS, TaskStatus.SUCCESS, type=uuid4().hex)
            add_worker()
        with django_assert_max_num_queries(59):
            metrics.read()


ENDS = [
    (ExecutionStatus.SUCCESS, TaskStatus.SUCCESS),
    (ExecutionStatus.SUCCESS, TaskStatus.SUCCESS),
    (ExecutionStatus.FAILED, TaskStatus.PENDING),
    (ExecutionStatus.TIMED_OUT, TaskStatus.PENDING),
    (ExecutionStatus.FAILED, TaskStatus.FAILED),
    (ExecutionStatus.CANCELLED, TaskStatus.CANCELLED),
    (ExecutionStatus.LOST, TaskStatus.PENDING),
    (ExecutionStatus.RELEASED, TaskStatus.PENDING),
]


class TestCountNewExecutions:
    def test_count_each_ended_attempt_once(self, counted_db: None) -> None:
        for status, task_status in ENDS:
            end(status, task_status)
        first, second = scrape(), scrape()
        for samples in (first, second):
            assert value(samples, "attempts_total", type="DUMMY", status="SUCCESS") == 2
            assert value(samples, "attempts_total", type="DUMMY", status="FAILED") == 2
            assert value(samples, "tasks_ended_total", type="DUMMY", status="SUCCESS") == 2
            assert value(samples, "tasks_ended_total", type="DUMMY", status="FAILED") == 1
            assert value(samples, "retries_total", type="DUMMY") == 2
            assert value(samples, "lease_losses_total", type="DUMMY", status="LOST") == 1
            assert value(samples, "lease_losses_total", type="DUMMY", status="RELEASED") == 1

    def test_go_on_and_survive_retention(self, counted_db: None) -> None:
        end(ExecutionStatus.SUCCESS, TaskStatus.SUCCESS, type="HTTP")
        scrape()
        TaskExecution.objects.all().delete()
        end(ExecutionStatus.SUCCESS, TaskStatus.SUCCESS, type="HTTP")
        end(ExecutionStatus.SUCCESS, TaskStatus.SUCCESS, type="SHELL")
        samples = scrape()
        assert value(samples, "attempts_total", type="HTTP", status="SUCCESS") == 2
        assert value(samples, "attempts_total", type="SHELL", status="SUCCESS") == 1

    def test_work_off_a_backlog_in_parts(self, counted_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
        end(ExecutionStatus.SUCCESS, TaskStatus.SUCCESS)
        scrape()
        monkeypatch.setattr(counting, "MOST_COUNTED", 2)
        for _ in range(7):
            end(ExecutionStatus.SUCCESS, TaskStatus.SUCCESS)
        uncounted = [7]

        def all_counted() -> bool:
            wait_for_nobody()
            uncounted.append(counting.count_new_executions())
            return uncounted[-1] == 0

        eventually(all_counted, timeout=30)
        assert all(0 <= before - after <= 4 for before, after in pairwise(uncounted))  # two calls of two rows each
        assert value(scrape(), "attempts_total", type="DUMMY", status="SUCCESS") == 8

    @pytest.mark.parametrize("older", [True, False], ids=["older transaction", "younger transaction"])
    def test_wait_for_a_row_that_is_not_committed_yet(
        self, counted_db: None, open_session: Callable[[], Any], older: bool
    ) -> None:
        """Its id is below one already visible: "greater than the last id" would never count it."""
        end(ExecutionStatus.SUCCESS, TaskStatus.SUCCESS)
        scrape()
        slow, fast = open_session(), open_session()
        for session in (slow, fast) if older else (fast, slow):
            session.execute("BEGIN")
            session.execute("SELECT pg_current_xact_id()")  # as the row locks of the real statements do
        for session, kind in ((slow, "HTTP"), (fast, "SHELL")):
            session.execute(
                "INSERT INTO task_executions"
                " (task_id, worker_id, due_at, started_at, finished_at, attempt, type, status, task_status) SELECT"
                " gen_random_uuid(), gen_random_uuid(), now(), now(), now(), 1, %s, 'SUCCESS', 'SUCCESS'",
                [kind],
            )
        fast.execute("COMMIT")
        assert counting.count_new_executions() == 2
        slow.execute("COMMIT")
        samples = scrape()
        for kind in ("HTTP", "SHELL"):
            assert value(samples, "attempts_total", type=kind, status="SUCCESS") == 1

    def test_do_not_wait_for_ever_for_a_foreign_transaction(
        self, counted_db: None, open_session: Callable[[], Any]
    ) -> None:
        end(ExecutionStatus.SUCCESS, TaskStatus.SUCCESS)
        scrape()
        foreign = open_session()
        foreign.execute("BEGIN")
        foreign.execute("SELECT pg_current_xact_id()")
        end(ExecutionStatus.SUCCESS, TaskStatus.SUCCESS)
        assert counting.count_new_executions() == 1

        def counted_after_a_minute() -> bool:
            wait_for_nobody()
            return counting.count_new_executions() == 0

        eventually(counted_after_a_minute)
        foreign.execute("COMMIT")

    def test_let_their_note_grow_old(self, counted_db: None, open_session: Callable[[], Any]) -> None:
        foreign = open_session()
        foreign.execute("BEGIN")
        [xid] = foreign.connection.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()

        def is_noted() -> bool:
            counting.count_new_executions()
            return MetricMark.objects.filter(name="executions", seen_xid__gt=xid).exists()

        eventually(is_noted, timeout=30)
        noted = datetime.now(UTC) - timedelta(seconds=40)
        MetricMark.objects.update(seen_at=noted)
        counting.count_new_executions()
        assert MetricMark.objects.get(name="executions").seen_at == noted
        foreign.execute("COMMIT")

    def test_leave_the_counting_to_whoever_is_at_it(self, counted_db: None, open_session: Callable[[], Any]) -> None:
        end(ExecutionStatus.SUCCESS, TaskStatus.SUCCESS)
        scrape()
        other = open_session()
        other.execute("BEGIN")
        other.execute("SELECT FROM metric_marks FOR UPDATE")
        end(ExecutionStatus.SUCCESS, TaskStatus.SUCCESS)
        counting.count_new_executions()  # does not wait
        assert sum(total.n for total in MetricTotal.objects.filter(metric="attempts")) == 1
        other.execute("COMMIT")
        assert value(scrape(), "attempts_total", type="DUMMY", status="SUCCESS") == 2

    def test_count_late_results_by_the_time_they_came(self, counted_db: None) -> None:
        past = (datetime.now(UTC) - timedelta(seconds=30)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        end(ExecutionStatus.LOST, TaskStatus.PENDING)
        scrape()
        TaskExecution.objects.update(late={"outcome": "SUCCESS", "at": past})  # counted as LOST long before
        MetricMark.objects.update(late_at="")
        end(ExecutionStatus.RELEASED, TaskStatus.PENDING, late={"outcome": "SUCCESS", "at": now})
        scrape()
        assert value(scrape(), "late_results_total", type="DUMMY") == 1  # once, and the newest in ten seconds


def scrape_with_fires(count: int) -> Samples:
    """A scrape once so many slots are counted; like attempts, they wait for transactions that are under way."""

    def all_counted() -> Samples | None:
        samples = scrape()
        counted = sum(n for (name, _), n in samples.items() if name == "task_scheduler_schedule_fires_total")
        assert counted <= count
        return samples if counted == count else None

    return eventually(all_counted, timeout=30)  # type: ignore[return-value]


class TestCountNewFires:
    def test_are_counted_by_state_with_their_lateness(self, counted_db: None) -> None:
        for state, late in (("FIRED", 0.05), ("FIRED", 1.5), ("LATE", 7200), ("MISSED", 7200)):
            add_fire(state, late)
        samples = scrape_with_fires(4)
        counts = {state: value(samples, "schedule_fires_total", state=state) for state in ("FIRED", "LATE", "MISSED")}
        assert counts == {"FIRED": 2, "LATE": 1, "MISSED": 1}
        buckets = {
            bound: value(samples, "schedule_lateness_seconds_bucket", state="FIRED", le=bound)
            for bound in ("0.1", "2.5")
        }
        assert buckets == {"0.1": 1, "2.5": 2}
        assert value(samples, "schedule_lateness_seconds_count", state="MISSED") == 0

    def test_are_counted_once_and_stay_when_the_ledger_forgets_them(self, counted_db: None) -> None:
        add_fire("FIRED", 0)
        scrape_with_fires(1)
        ScheduleFire.objects.all().delete()
        add_fire("LATE", 0)
        scrape_with_fires(2)


class TestCountNewEnds:
    """Every task that ends is counted once, by type and status, whether it ever started or not."""

    @pytest.fixture
    def engine(self, counted_db: None, session: Any) -> Engine:
        return Engine(session)

    def scraped(self, engine: Engine) -> dict[tuple[str, str], float]:
        """The totals, once all that the tables hold is counted."""
        [events] = engine.session.fetch("SELECT coalesce(max(id), 0) FROM audit_events")[0]

        def counted() -> Samples | None:
            samples = scrape()
            return samples if MetricMark.objects.get(name="ends").counted_id >= events else None

        samples = eventually(counted, timeout=30)
        assert samples is not None
        return {
            (dict(labels)["type"], dict(labels)["status"]): n
            for (name, labels), n in samples.items()
            if name == "task_scheduler_tasks_ended_total" and n
        }

    def test_agree_with_the_table_of_tasks(self, engine: Engine) -> None:
        worker = engine.worker(slots=20)
        for _ in range(3):
            services.cancel_task(engine.assigned(worker), actor="test")
        for _ in range(2):
            expiring = engine.assigned(worker, expires_at=in_seconds(60))
            engine.move(expiring, expires_at=timedelta(seconds=-1))
        waiting = engine.create_many(4, schedule_at=in_seconds(3600), expires_at=in_seconds(7200))
        for task_id in waiting[:3]:
            engine.move(task_id, expires_at=timedelta(seconds=-1))
        assert expire_tasks(engine.session) == 5
        services.cancel_task(waiting[3], actor="test")
        by_batch = engine.create_many(2, type="HTTP", payload={"url": "http://h/"}, schedule_at=in_seconds(3600))
        engine.session.rows("cancel_tasks", {"ids": by_batch, "actors": ["x"] * 2, "reason": "overlap"})
        for outcome in (SUCCEEDED, FAILED_FOR_GOOD, CANCELLED):
            engine.finish(worker, engine.running(worker), outcome)
        engine.running(worker, on_worker_lost="fail")
        engine.assigned(worker)
        engine.lose(worker)

        ended = Task.objects.filter(finished_at__isnull=False).values_list("type", "status").annotate(n=Count("*"))
        expected = {(kind, status): n for kind, status, n in ended.order_by()}
        assert expected == {
            ("DUMMY", "SUCCESS"): 1,
            ("DUMMY", "FAILED"): 5 + 1 + 1,
            ("DUMMY", "CANCELLED"): 4 + 1,
            ("HTTP", "CANCELLED"): 2,
        }
        assert self.scraped(engine) == expected
        assert self.scraped(engine) == expected  # once, however often one looks

    def test_count_every_end_of_a_task_that_is_run_again(self, engine: Engine) -> None:
        task_id = engine.create()
        for _ in range(2):
            services.cancel_task(task_id, actor="test")
            services.retry_task(task_id, actor="test")
        assert self.scraped(engine) == {("DUMMY", "CANCELLED"): 2}

    def test_count_ends_of_tasks_that_were_deleted_before(self, engine: Engine) -> None:
        task_id = engine.create()
        services.cancel_task(task_id, actor="test")
        Task.objects.filter(pk=task_id).delete()
        assert self.scraped(engine) == {(labels.OTHER, "CANCELLED"): 1}

    def test_wait_for_an_end_that_is_not_committed_yet(self, engine: Engine, open_session: Callable[[], Any]) -> None:
        first, second = engine.create_many(2)
        slow = open_session()
        slow.execute("BEGIN")
        cancel = {"ids": [first], "actors": ["x"], "reason": ""}
        slow.rows("cancel_tasks", cancel)  # its event has the lower id
        services.cancel_task(second, actor="test")
        scrape_once = metrics.read()
        assert scrape_once.uncounted
        slow.execute("COMMIT")
        assert self.scraped(engine) == {("DUMMY", "CANCELLED"): 2}


class TestStart:
    def test_has_every_counter_at_zero(self, counted_db: None) -> None:
        samples = scrape()
        for kind in ("HTTP", "SHELL", "DUMMY"):
            for status in ExecutionStatus:
                assert samples["task_scheduler_attempts_total", (("status", status), ("type", kind))] == 0
            for ended in FINAL:
                assert samples["task_scheduler_tasks_ended_total", (("status", ended), ("type", kind))] == 0
            for name in ("retries_total", "late_results_total", "attempt_duration_seconds_count"):
                assert samples[f"task_scheduler_{name}", (("type", kind),)] == 0
        for state in FireState:
            assert samples["task_scheduler_schedule_fires_total", (("state", state),)] == 0
        assert samples["task_scheduler_schedule_lateness_seconds_count", (("state", "FIRED"),)] == 0

    def test_gives_every_name_the_prefix(self, counted_db: None) -> None:
        assert all(name.startswith("task_scheduler_") for name, _ in scrape())

    def test_counts_nothing_while_the_database_does_not_answer(self) -> None:
        """A total that is not known is left out: at zero it would look like a restart."""
        away = metrics.Reading(None, [], None, is_up=False, seconds=0.0)
        names = {family.name for family in families.Families(away).collect()}
        assert names == {"task_scheduler_database_up", "task_scheduler_scrape_duration_seconds"}


class TestHistograms:
    @pytest.mark.parametrize(
        ("ran", "waited", "duration_bound", "delay_bound"),
        [(0, 0, "0.005", "0.005"), (1, 0.05, "1.0", "0.05"), (1.1, 7200, "2.5", "+Inf"), (86_400, 59, "+Inf", "60.0")],
    )
    def test_put_a_value_below_its_bound(
        self, counted_db: None, ran: float, waited: float, duration_bound: str, delay_bound: str
    ) -> None:
        end(ExecutionStatus.SUCCESS, TaskStatus.SUCCESS, ran=ran, waited=waited)
        samples = scrape()
        for name, bound, seconds in (
            ("attempt_duration_seconds", duration_bound, ran),
            ("start_delay_seconds", delay_bound, waited),
        ):
            assert value(samples, f"{name}_sum", type="DUMMY") == pytest.approx(seconds)
            assert value(samples, f"{name}_count", type="DUMMY") == 1
            buckets = [value(samples, f"{name}_bucket", type="DUMMY", le=families._bound(b)) for b in counting.BOUNDS]
            first = [families._bound(b) for b in counting.BOUNDS].index(bound)
            assert buckets == [0.0] * first + [1.0] * (len(buckets) - first)

    def test_leave_out_how_long_a_lost_attempt_seemed_to_run(self, counted_db: None) -> None:
        end(ExecutionStatus.LOST, TaskStatus.PENDING, ran=100, waited=1)
        samples = scrape()
        assert value(samples, "attempt_duration_seconds_count", type="DUMMY") == 0
        assert value(samples, "start_delay_seconds_count", type="DUMMY") == 1

    def test_keep_what_was_counted_under_other_bounds(self) -> None:
        totals = [
            counting.Total("duration", "HTTP", "", "", 0.3, 2, 0.5),
            counting.Total("duration", "HTTP", "", "", 1.0, 1, 0.9),
        ]
        reading = metrics.Reading(None, totals, 0, True, 0.0)
        [family] = [f for f in families.Families(reading).collect() if f.name.endswith("attempt_duration_seconds")]
        buckets = [s for s in family.samples if s.name.endswith("_bucket") and s.labels["type"] == "HTTP"]
        counts = {s.labels["le"]: s.value for s in buckets}
        assert (counts["0.25"], counts["0.5"], counts["1.0"], counts["+Inf"]) == (0, 2, 3, 3)


class TestReading:
    def test_lets_a_slow_survey_not_stop_the_counting(self, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(selectors, "statement", lambda *_: "SELECT pg_sleep(30)")
        monkeypatch.setattr(selectors, "SURVEY_TIMEOUT", timedelta(milliseconds=20))
        reading = metrics.read()
        assert reading.survey is None and reading.is_up and reading.uncounted is not None
        assert connection.is_usable()

    def test_any_key_may_scrape(self, db: None) -> None:
        assert Api(make_key("tasks:read")).get("/metrics").status_code == 200
