"""No text costs more than 50 ms and 32 MiB wherever it is asked about: steps are counted, the worst are measured."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules_app import simulation
from schedules_app.calendars import parse_calendar
from schedules_app.due import look, look_anew, next_due
from schedules_app.effort import MOST_STEPS, Effort, TooCostly
from schedules_app.firing_rules import Policy, decide
from schedules_app.recurrence import Definition, InvalidRecurrence, Recurrence, check, cron, days, parse, periods, rrule
from schedules_app.selectors import preview_of
from schedules_app.simulation import InvalidSimulation, simulate
from tests.support.bombs import EVERY_SECOND, LONG_AGO, NOW, RANGES, TAKEN, WEEK, numbers
from tests.support.costs import cpu_seconds
from tests.support.scale import examples

SCHEDULE = UUID(int=1)
YEAR = timedelta(days=365)
#: The promise is 50 ms; the machine of a test may be slow.
LONGEST = 0.15
MOST_MEMORY = 32 * 2**20


def definition(start_at: datetime | None = None, **fields: Any) -> Definition:
    return Definition(**fields, anchor=start_at or NOW, start_at=start_at)


def preview(recurrence: Recurrence, effort: Effort) -> object:
    found = preview_of(recurrence, after=NOW, count=100)
    assert found, "nothing to show of what was taken"
    return found


def after_twenty_years(recurrence: Recurrence, effort: Effort) -> object:
    first = recurrence.next(NOW - 20 * YEAR, effort)
    return first and look_anew(recurrence, first.at, NOW, effort)


def the_newest(recurrence: Recurrence, effort: Effort) -> object:
    return recurrence.recent(after=NOW - 50 * YEAR, until=NOW, limit=101, effort=effort)


QUESTIONS = [preview, after_twenty_years, the_newest]
Question = Callable[[Recurrence, Effort], object]


def forget_everything() -> None:
    """Each question costs what it costs when it is asked for the first time."""
    caches: list[Any] = [look, rrule.parse_rrule, cron.parse_cron, days._chosen, periods._periods, periods._groups]
    for cache in caches:
        cache.cache_clear()
    parse.__globals__["_parse"].cache_clear()


@pytest.mark.parametrize("name", TAKEN)
class TestBombs:
    @pytest.mark.parametrize("question", QUESTIONS)
    def test_take_few_steps_little_time_and_no_memory(self, name: str, question: Question) -> None:
        def ask() -> None:
            question(check(definition(**TAKEN[name]), now=NOW), Effort())

        assert cpu_seconds(ask, enough=LONGEST, before=forget_everything) < LONGEST
        forget_everything()
        tracemalloc.start()
        try:
            ask()
            assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY // 16
        finally:
            tracemalloc.stop()

    def test_can_be_simulated_for_a_thousand_years_or_are_refused_at_once(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(simulation, "MOST_SLOTS", 1100)

        def ask() -> None:
            simulate(parse(definition(**TAKEN[name])), Policy(), since=LONG_AGO, until=datetime(2999, 1, 1, tzinfo=UTC))

        def ask_in_vain() -> None:
            with pytest.raises(InvalidSimulation):
                ask()

        try:
            ask()
        except InvalidSimulation as refused:
            assert refused.problems.keys() == {"to"}
            assert cpu_seconds(ask_in_vain, enough=LONGEST, before=forget_everything) < LONGEST


_lists = {
    "BYMONTH": st.lists(st.integers(1, 12), min_size=1, max_size=12, unique=True),
    "BYMONTHDAY": st.lists(st.integers(1, 31) | st.integers(-31, -1), min_size=1, max_size=31, unique=True),
    "BYYEARDAY": st.lists(st.integers(1, 366) | st.integers(-366, -1), min_size=1, max_size=60, unique=True),
    "BYWEEKNO": st.lists(st.integers(1, 53) | st.integers(-53, -1), min_size=1, max_size=53, unique=True),
    "BYHOUR": st.just(list(range(24))) | st.lists(st.integers(0, 23), min_size=1, unique=True),
    "BYMINUTE": st.just(list(range(60))) | st.lists(st.integers(0, 59), min_size=1, unique=True),
    "BYSECOND": st.just(list(range(60))) | st.lists(st.integers(0, 59), min_size=1, unique=True),
    "BYSETPOS": st.lists(st.integers(1, 366) | st.integers(-366, -1), min_size=1, max_size=60, unique=True),
}
_parts: dict[str, st.SearchStrategy[str]] = {
    **{name: values.map(lambda numbers: ",".join(map(str, numbers))) for name, values in _lists.items()},
    "BYDAY": st.lists(st.sampled_from(["MO", "SU", "1MO", "-1FR", "5SA", WEEK]), min_size=1, max_size=4).map(",".join),
    "INTERVAL": st.integers(1, 10_000).map(str),
    "COUNT": st.integers(1, 10_000).map(str),
    "UNTIL": st.sampled_from(["20990101", "20270101T000000Z", "29990101T000000"]),
    "WKST": st.sampled_from(["MO", "SU"]),
}
_frequencies = st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"])
_fields = [
    st.sampled_from(["*", "0", "59", "*/7", "0-59", "5/20", "1,2,3"]),
    st.sampled_from(["*", "0", "59", "*/7", "0-59", "5/20", "1,2,3"]),
    st.sampled_from(["*", "0", "23", "*/5", "0-23"]),
    st.sampled_from(["*", "29", "30", "31", "L", "LW", "*/31", "1-31"]),
    st.sampled_from(["*", "2", "2,4", "FEB", "*/11"]),
    st.sampled_from(["*", "*/7", "MON", "1#5", "5L", "0-7"]),
]


@st.composite
def _rrules(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(sorted(_parts)), max_size=6, unique=True))
    parts = [f"FREQ={draw(_frequencies)}", *(f"{name}={draw(_parts[name])}" for name in names)]
    return {"rrule": ";".join(parts)}


_crons = st.tuples(*_fields).map(lambda fields: {"cron": " ".join(fields)})
_zones = st.sampled_from(["UTC", "Europe/Berlin", "Africa/Casablanca"])
_starts = st.sampled_from([None, LONG_AGO, datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC), NOW])


class TestAnyText:
    @examples(200)
    @given(times=_rrules() | _crons, zone=_zones, start_at=_starts, question=st.sampled_from(QUESTIONS))
    def test_is_refused_or_takes_few_steps(
        self, times: dict[str, Any], zone: str, start_at: datetime | None, question: Question
    ) -> None:
        asked = definition(**times, timezone=zone, start_at=start_at)
        try:
            recurrence = check(asked, now=NOW)
        except InvalidRecurrence as refused:
            assert refused.problems.keys() <= {"cron", "rrule"}
            return
        effort = Effort()
        question(recurrence, effort)
        assert effort.left >= 0


class TestEffort:
    def test_ends_a_search(self) -> None:
        with pytest.raises(TooCostly):
            list(islice(parse(definition(cron="* * * * * *")).slots(NOW, effort=Effort(500)), 1000))
        with pytest.raises(TooCostly):
            parse(definition(cron="* * * * * *")).recent(after=LONG_AGO, until=NOW, limit=1000, effort=Effort(500))

    def test_is_the_same_for_the_same_question(self) -> None:
        spent = set()
        for _ in range(2):
            effort = Effort()
            the_newest(parse(definition(cron="0 0 29 2 *", timezone="Europe/Berlin")), effort)
            spent.add(MOST_STEPS - effort.left)
        assert len(spent) == 1

    def test_what_would_spend_it_is_refused_with_the_way_out(self) -> None:
        """Half of what a pass has: what is taken today is followed tomorrow."""
        counted = definition(LONG_AGO, rrule=f"FREQ=WEEKLY;COUNT=10000;BYDAY={WEEK};BYSETPOS=1;INTERVAL=9")
        check(counted, now=NOW)
        with pytest.raises(InvalidRecurrence) as refused:
            check(counted, now=datetime(2900, 1, 1, tzinfo=UTC))
        assert refused.value.problems["rrule"].endswith("so begin later, or say UNTIL instead")

    def test_counting_is_not_done_before_it_is_paid_for(self) -> None:
        rule = parse(definition(LONG_AGO, rrule=f"FREQ=WEEKLY;COUNT=9000;BYDAY={WEEK};BYSETPOS=1;INTERVAL=9"))
        for _ in range(2):
            with pytest.raises(TooCostly):
                rule.next(datetime(2900, 1, 1, tzinfo=UTC))


class TestCalendars:
    @pytest.mark.parametrize("name", RANGES)
    @pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
    def test_of_a_hundred_ranges_are_looked_at_for_a_thousand_slots(self, name: str, zone: str) -> None:
        calendars = tuple(parse_calendar(f"c{n}", zone, "skip", RANGES[name]) for n in range(10))
        every_minute = parse(definition(cron="* * * * *"))
        policy, first = Policy(calendars=calendars), NOW - timedelta(minutes=999)

        def decide_all() -> None:
            assert len(decide(SCHEDULE, every_minute, policy, first=first, now=NOW).decisions) == 1000

        assert cpu_seconds(decide_all, enough=LONGEST) < LONGEST

    def test_that_never_end_are_simulated_to_an_end(self) -> None:
        always = parse_calendar("always", "Europe/Berlin", "run_at_end", RANGES["no pause"])
        daily = parse(definition(cron="@daily"))
        told = simulate(daily, Policy(calendars=(always,)), since=NOW, until=NOW + timedelta(days=9))
        assert [row.at - row.slot for row in told] == [timedelta(days=366)] * 9


class TestSimulation:
    @pytest.mark.parametrize("name", ["in turns", "half"])
    @pytest.mark.parametrize("end", ["skip", "run_at_end"])
    def test_is_what_would_be_decided_one_by_one(self, name: str, end: str) -> None:
        """What it uses again from one decision to the next changes none of them."""
        blackouts = (parse_calendar("c", "Europe/Berlin", end, RANGES[name]),)
        policy = Policy(calendars=blackouts, jitter=timedelta(seconds=90))
        recurrence = parse(definition(cron="*/7 * * * *", timezone="Europe/Berlin"))
        outage = simulation.Outage(NOW + timedelta(hours=3), NOW + timedelta(hours=5))
        until = NOW + timedelta(hours=14)
        told = simulate(recurrence, policy, since=NOW, until=until, outages=[outage])
        one_by_one, due = [], next_due(UUID(int=0), recurrence, policy.jitter, after=NOW - NOW.resolution)
        while due is not None and due.slot.at <= until:
            now = outage.until if outage.since <= due.at < outage.until else due.at
            decided = decide(UUID(int=0), recurrence, policy, first=due.slot.at, now=now)
            one_by_one += [(each.slot.at, each.state, now, each.note) for each in decided.decisions]
            due = decided.next
        assert [(row.slot, row.state, row.at, row.note) for row in told] == [r for r in one_by_one if r[0] <= until]

    def test_of_too_many_slots_is_refused_before_they_are_decided(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(simulation, "decide", None)
        outages = [simulation.Outage(NOW + timedelta(hours=n), NOW + timedelta(hours=n + 1)) for n in (0, 5, 9)]
        for away in ([], outages, [simulation.Outage(NOW - YEAR, NOW + 300 * timedelta(days=1))]):
            with pytest.raises(InvalidSimulation) as refused:
                simulate(parse(definition(cron="* * * * *")), Policy(), since=NOW, until=NOW + YEAR, outages=away)
            assert "more than 10,000 slots" in refused.value.problems["to"]

    def test_that_takes_too_long_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(simulation, "MOST_STEPS", 2_000)
        rule = f"FREQ=WEEKLY;BYDAY={WEEK};{EVERY_SECOND};BYSETPOS={numbers(130, 1)}"
        with pytest.raises(InvalidSimulation) as refused:
            simulate(parse(definition(rrule=rule)), Policy(), since=NOW, until=NOW + 60 * timedelta(days=7))
        assert "takes too long" in refused.value.problems["to"]
