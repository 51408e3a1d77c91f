"""Mutants of recurring schedules: the firing pass, what people ask for, the scheduler's part."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, mutants_of

_TESTS: Final = "integration/schedules"
_FIRING: Final = f"{_TESTS}/test_firing.py"
_POLICIES: Final = f"{_TESTS}/test_policies.py"
_PUT_OFF: Final = f"{_TESTS}/test_put_off.py"
_SCHEDULED: Final = "integration/workflows/test_scheduled.py"
_ZONES: Final = f"{_TESTS}/test_zone_rules.py"

SCHEDULES: Final[list[Mutant]] = [
    *mutants_of(
        "schedule-guard",
        "schedules_app/guards.py",
        f"{_TESTS}/test_guards.py",
        ("before", 39, "for definition in (before, after):", "for definition in (after,):"),
        ("after", 39, "for definition in (before, after):", "for definition in (before,):"),
        ("calendar", 39, "            caller.require(Action.CALENDAR_EDIT, held)\n", "            pass\n"),
    ),
    *mutants_of(
        "schedule-lock",
        "schedules_app/services.py",
        f"{_TESTS}/test_guards.py",
        ("guard", 39, "        guard(schedule)\n", "        pass\n"),
    ),
    *mutants_of(
        "due-schedules",
        "schedules_app/sql/due_schedules.sql",
        _FIRING,
        ("lock", 21, "   FOR NO KEY UPDATE SKIP LOCKED\n", ""),
        (
            "index",
            34,
            "WHERE next_fire_at <= now()",
            "WHERE next_fire_at + interval '0' <= now()",
            f"{_TESTS}/test_plans.py",
        ),
    ),
    *mutants_of(
        "effort",
        "schedules_app/effort.py",
        "unit/schedules/test_effort.py",
        ("spent", 34, "        if self.left < 0:", "        if False:"),
    ),
    *mutants_of(
        "count",
        "schedules_app/recurrence/rrule.py",
        "unit/schedules/test_effort.py::TestEffort",
        ("paid", 34, "        effort.spend(self._steps_to_count(year - counted))\n", ""),
    ),
    *mutants_of(
        "firing",
        "schedules_app/firing.py",
        _FIRING,
        (
            "open-tasks",
            21,
            "    return {pk: [*tasks, *map(OpenBatch, batches)] for pk, tasks, batches in cursor.fetchall()}\n",
            "    return {}\n",
            _POLICIES,
        ),
        (
            "one-for-all",
            26,
            "            _put_off(batch, row, error)\n    batch.write",
            "            raise\n    batch.write",
        ),
        ("put-off-last", 26, "sorted(rows, key=lambda each: each.put_offs > 0)", "rows", _PUT_OFF),
        ("long-look", 26, "if len(batch) and (batch.making.is_full or time.monotonic() > end):", "if False:"),
    ),
    *mutants_of(
        "batch",
        "schedules_app/batches.py",
        _FIRING,
        (
            "ledger-decides",
            21,
            "return [made for (made,) in cursor.fetchall()]\n\n    def _rules_of",
            "return [*self.making.tasks, *self.making.batches]\n\n    def _rules_of",
        ),
        ("put-off-grows", 26, "row.put_offs + 1, reason))", "1, reason))", _PUT_OFF),
        ("new-rules", 22, "row.next_slot if rules == row.zone_rules else", "row.next_slot if True else", _ZONES),
        (
            "wall-clock",
            22,
            "after=row.last_slot, after_local=row.local)\n        self._move",
            "after=row.last_slot)\n        self._move",
            _ZONES,
        ),
    ),
    *mutants_of(
        "cancel-tasks",
        "tasks_app/sql/cancel_tasks.sql",
        _POLICIES,
        ("cancel", 16, "WHERE t.finished_at IS NULL AND", "WHERE false AND"),
    ),
    *mutants_of(
        "schedule-services",
        "schedules_app/services.py",
        f"{_TESTS}/test_services.py",
        (
            "edit-settles",
            21,
            "    settle(schedule, now, pause=None if",
            "    0 and settle(schedule, now, pause=None if",
        ),
        ("resume-settles", 21, "            settle(schedule, now)\n", ""),
        ("put-off-ends", 26, '        columns |= {"put_offs": 0, "put_off_reason": ""}\n', "        pass\n", _PUT_OFF),
        ("gives-up", 21, "        _give_up(schedule, now)\n", ""),
    ),
    *mutants_of(
        "crontab",
        "schedules_app/crontab_import.py",
        f"{_TESTS}/test_importcrontab.py",
        ("all-or-none", 2, "if not any(each.outcome is Outcome.REFUSED for each in report):", "if True:"),
        ("dry-run", 2, "            transaction.set_rollback(True)\n", "            pass\n"),
        ("user", 39, "not wish.any_user and job.user != wish.reader", "False"),
        ("again", 2, "elif (schedule := stored.get(plan.new.name)) is None:", "elif (schedule := None) is None:"),
    ),
    *mutants_of(
        "schedule-checks",
        "schedules_app/checking.py",
        f"{_TESTS}/test_batch_templates.py",
        ("calendars", 14, " ORDER BY name FOR KEY SHARE", "", f"{_TESTS}/test_calendar_services.py"),
        ("named", 39, "            batch_templates.maker().check(new.batch)\n", "            pass\n"),
    ),
    *mutants_of(
        "making",
        "schedules_app/making.py",
        _SCHEDULED,
        ("key", 21, "alone=row.overlap in ONE_AT_A_TIME", "alone=False", _POLICIES),
        ("after", 46, "after=all_of(after)", "after=((), ())"),
        ("cancel", 46, "            if batches := all_of(open_ones)[0]:\n", "            if batches := []:\n"),
        ("full", 56, "asked += [(batch_id, room)", "_ = [(batch_id, room)"),
    ),
    *mutants_of(
        "slot-batches",
        "schedules_app/batches.py",
        _SCHEDULED,
        ("cut", 26, "if most is None or len(running) <= most:", "if True:"),
    ),
    *mutants_of(
        "slot-outcomes",
        "schedules_app/outcomes.py",
        _SCHEDULED,
        ("batches", 43, "WHERE b.schedule_id = s.id AND b.schedule_id IS NOT NULL", "WHERE false"),
    ),
    *mutants_of(
        "batch-guards",
        "schedules_app/api/schedule_views.py",
        f"{_TESTS}/test_batch_templates.py",
        ("results", 39, "        guards.require_results(self.caller, new)\n", ""),
        ("types", 39, "        guards.require_types(self.caller, Action.SCHEDULE_CREATE, new)\n", ""),
    ),
    *mutants_of(
        "scheduled",
        "workflows_app/scheduled.py",
        _SCHEDULED,
        ("made", 21, "[slot for slot in slots if slot.id in made]", "slots"),
        ("however", 46, "run_if=RunIf.ALL_DONE", "run_if=RunIf.ALL_SUCCESS"),
        ("running", 46, "return cancel_tasks(cursor, owned, reason=reason) if owned else []", "return []"),
    ),
    *mutants_of(
        "make-batches",
        "workflows_app/sql/make_batches.sql",
        _SCHEDULED,
        ("conflict", 21, "    ON CONFLICT (id) DO NOTHING\n", ""),
    ),
    *mutants_of(
        "times",
        "schedules_app/recurrence/__init__.py",
        "unit/schedules/test_ways_out.py",
        ("trap", 22, "if definition.cron is not None and (trap := trap_in(definition.cron)):", "if (trap := None):"),
        ("until", 22, "or (recurrence.until and first.at > recurrence.until)", ""),
    ),
    *mutants_of(
        "backfill",
        "schedules_app/manual_runs.py",
        f"{_TESTS}/test_manual_runs.py",
        ("forgotten", 21, "max(since, _oldest_known(now))", "since"),
        ("undecided", 21, "min(until, schedule.last_slot, now)", "min(until, now)"),
        ("rest-of-a-run", 21, "            fire.save(force_insert=True)\n", "            pass\n"),
    ),
    *mutants_of(
        "scheduler-fires",
        "workers_app/processes/scheduler.py",
        "integration/engine/test_scheduler.py::TestSchedules",
        ("again", 34, "0.0 if report.schedules else time.monotonic() + FIRE_AGAIN", "0.0"),
        ("failure", 4, "        except Exception:\n            if not", "        except KeyError:\n            if not"),
    ),
]
