"""`decide`, as tables: each policy alone, each pair of policies, long outages, jitter."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID

import pytest

from schedules_app.blackout_ranges import Absolute
from schedules_app.calendars import Calendar, OnBlackout
from schedules_app.firing_rules import (
    Decided,
    FireState,
    Misfire,
    Overlap,
    Pause,
    Policy,
    decide,
    next_due,
)
from schedules_app.recurrence import Definition, DstGap, Recurrence, parse

SCHEDULE = UUID("0193a000-0000-7000-8000-000000000001")
OPEN = [UUID(int=number) for number in range(1, 4)]
LETTERS = {
    "F": FireState.FIRED,
    "L": FireState.LATE,
    "C": FireState.COALESCED,
    "O": FireState.SKIPPED_OVERLAP,
    "B": FireState.SKIPPED_BLACKOUT,
    "P": FireState.SKIPPED_PAUSED,
    "D": FireState.SKIPPED_DST,
    "M": FireState.MISSED,
}


def clock(text: str) -> datetime:
    """``12:30`` or ``12:30:05`` on the day of these tests, UTC."""
    return datetime.combine(datetime(2026, 6, 1), time.fromisoformat(text), UTC)


def hourly() -> Recurrence:
    return parse(Definition(interval_seconds=3600, anchor=clock("00:00")))


def blackout(start: str, stop: str, on_blackout: str = "skip", name: str = "quiet") -> Calendar:
    return Calendar(name, "UTC", OnBlackout(on_blackout), (Absolute([(clock(start), clock(stop))]),))


def states(decided: Decided) -> str:
    letters = {state: letter for letter, state in LETTERS.items()}
    return "".join(letters[decision.state] for decision in decided.decisions)


def look(now: str, *, first: str = "10:00", open_tasks: int = 0, pause: Pause | None = None, **policy: Any) -> Decided:
    return decide(
        SCHEDULE,
        hourly(),
        Policy(**policy),
        first=clock(first),
        now=clock(now),
        pause=pause,
        open_tasks=OPEN[:open_tasks],
    )


PAUSED = Pause(clock("09:00"))
SKIP, ONCE, ALL = Misfire.SKIP, Misfire.RUN_ONCE, Misfire.RUN_ALL
ALLOW, DROP, QUEUE, CANCEL = Overlap.ALLOW, Overlap.SKIP, Overlap.QUEUE_ONE, Overlap.CANCEL_RUNNING
AT_END = OnBlackout.RUN_AT_END


@pytest.mark.parametrize(
    ("now", "more", "expected"),
    [
        # What is due when.
        ("09:59:59", {}, ""),
        ("10:00", {}, "F"),
        ("10:01", {}, "F"),
        ("10:01:01", {}, "L"),
        ("10:00", {"grace": timedelta(0)}, "F"),
        ("10:00:01", {"grace": timedelta(0)}, "L"),
        # Misfire alone: 10:00 and 11:00 are missed, 12:00 is on time at 12:00:30 and missed at 12:30.
        ("12:30", {"misfire": SKIP}, "MMM"),
        ("12:30", {"misfire": ONCE}, "CCL"),
        ("12:30", {"misfire": ALL, "overlap": ALLOW}, "LLL"),
        ("12:30", {"misfire": ALL, "overlap": ALLOW, "max_runs": 2}, "MLL"),
        ("12:00:30", {"misfire": SKIP}, "MMF"),
        ("12:00:30", {"misfire": ONCE}, "CCF"),
        ("12:00:30", {"misfire": ALL, "overlap": ALLOW, "max_runs": 1}, "MLF"),
        ("12:30", {"misfire": SKIP, "grace": timedelta(hours=3), "overlap": ALLOW}, "FFF"),
        # Overlap alone.
        ("10:00", {"overlap": ALLOW, "open_tasks": 3}, "F"),
        ("10:00", {"overlap": DROP, "open_tasks": 1}, "O"),
        ("10:00", {"overlap": QUEUE, "open_tasks": 1}, "F"),
        ("10:00", {"overlap": QUEUE, "open_tasks": 2}, "O"),
        ("10:00", {"overlap": CANCEL, "open_tasks": 2}, "F"),
        # Pause alone: now, in the past, over and before.
        ("12:00", {"pause": PAUSED}, "PPP"),
        ("12:00", {"pause": Pause(clock("11:30"))}, "PPP"),
        ("10:00", {"pause": Pause(clock("09:00"), clock("10:00"))}, "F"),
        ("10:00", {"pause": Pause(clock("10:00"), clock("10:00:01"))}, "P"),
        # Blackout alone: its first instant is in, its last is not.
        ("10:00", {"calendars": (blackout("10:00", "10:30"),)}, "B"),
        ("10:00", {"calendars": (blackout("09:00", "10:00"),)}, "F"),
        ("10:00", {"calendars": (blackout("10:00", "10:30", AT_END),)}, ""),
        ("10:30", {"calendars": (blackout("10:00", "10:30", AT_END),)}, "L"),
        ("12:30", {"calendars": (blackout("10:00", "12:30", AT_END),)}, "CCL"),
        ("12:29", {"calendars": (blackout("11:00", "12:30", AT_END),), "misfire": SKIP}, "M"),
        ("12:00", {"calendars": (blackout("10:00", "13:00"), blackout("10:00", "14:00", AT_END))}, "BBB"),
        # Misfire and overlap.
        ("12:30", {"misfire": SKIP, "overlap": DROP, "open_tasks": 1}, "MMM"),
        ("12:30", {"misfire": ONCE, "overlap": DROP, "open_tasks": 1}, "CCO"),
        ("12:30", {"misfire": ONCE, "overlap": QUEUE, "open_tasks": 1}, "CCL"),
        ("12:30", {"misfire": ONCE, "overlap": CANCEL, "open_tasks": 1}, "CCL"),
        ("12:30", {"misfire": ALL, "overlap": ALLOW, "open_tasks": 2}, "LLL"),
        ("12:30", {"misfire": ALL, "overlap": DROP}, "LOO"),
        ("12:30", {"misfire": ALL, "overlap": DROP, "open_tasks": 1}, "OOO"),
        ("12:30", {"misfire": ALL, "overlap": QUEUE}, "LLO"),
        ("12:30", {"misfire": ALL, "overlap": QUEUE, "open_tasks": 1}, "LOO"),
        ("12:30", {"misfire": ALL, "overlap": CANCEL, "open_tasks": 1}, "OOL"),
        ("12:00:30", {"misfire": ALL, "overlap": QUEUE, "max_runs": 1}, "MLF"),
        ("12:00:30", {"misfire": ALL, "overlap": CANCEL}, "OOF"),
        # Misfire and pause: what a pause took is neither run once nor all.
        ("12:30", {"misfire": ONCE, "pause": Pause(clock("10:00"), clock("11:30"))}, "PPL"),
        ("12:30", {"misfire": ONCE, "pause": Pause(clock("11:00"), clock("12:30"))}, "LPP"),
        ("12:30", {"misfire": ALL, "overlap": ALLOW, "pause": Pause(clock("10:30"), clock("11:30"))}, "LPL"),
        ("12:30", {"misfire": SKIP, "pause": Pause(clock("10:30"), clock("11:30"))}, "MPM"),
        # Misfire and blackout: a missed slot does not run inside one either.
        ("12:30", {"misfire": ONCE, "calendars": (blackout("11:00", "11:30"),)}, "CBL"),
        ("12:30", {"misfire": ONCE, "calendars": (blackout("12:15", "13:00"),)}, "CCB"),
        ("12:30", {"misfire": SKIP, "calendars": (blackout("12:15", "13:00"),)}, "MMM"),
        ("12:30", {"misfire": ALL, "max_runs": 2, "overlap": ALLOW, "calendars": (blackout("12:15", "13:00"),)}, "MBB"),
        ("12:30", {"misfire": ONCE, "calendars": (blackout("12:15", "13:00", AT_END),)}, ""),
        ("13:00", {"misfire": ONCE, "calendars": (blackout("12:15", "13:00", AT_END),)}, "CCCF"),
        ("12:45", {"misfire": ONCE, "calendars": (blackout("10:30", "12:30", AT_END),)}, "CCL"),
        ("12:45", {"misfire": SKIP, "calendars": (blackout("10:30", "12:30", AT_END),)}, "MCM"),
        ("12:30", {"misfire": SKIP, "calendars": (blackout("10:30", "12:30", AT_END),)}, "MCL"),
        ("12:30", {"misfire": ALL, "overlap": ALLOW, "calendars": (blackout("10:30", "12:30", AT_END),)}, "LCL"),
        # Overlap and pause, overlap and blackout.
        ("10:00", {"overlap": CANCEL, "open_tasks": 1, "pause": PAUSED}, "P"),
        ("10:00", {"overlap": CANCEL, "open_tasks": 1, "calendars": (blackout("10:00", "11:00"),)}, "B"),
        ("12:30", {"overlap": DROP, "open_tasks": 1, "calendars": (blackout("10:00", "12:30", AT_END),)}, "CCO"),
        ("12:30", {"overlap": QUEUE, "open_tasks": 1, "calendars": (blackout("10:00", "12:30", AT_END),)}, "CCL"),
        # Pause and blackout: a paused slot does not wait for the end.
        ("12:30", {"pause": PAUSED, "calendars": (blackout("10:00", "14:00", AT_END),)}, "PPP"),
        ("12:30", {"pause": PAUSED, "calendars": (blackout("10:00", "14:00"),)}, "PPP"),
        (
            "12:30",
            {"pause": Pause(clock("11:00"), clock("12:00")), "calendars": (blackout("10:00", "12:30", AT_END),)},
            "CPL",
        ),
    ],
)
def test_decides(now: str, more: dict[str, Any], expected: str) -> None:
    assert states(look(now, **more)) == expected


class TestChangesOfTheClock:
    """01:30 and 03:30 exist in the night of 29 March in Berlin, 02:30 does not."""

    @pytest.mark.parametrize(
        ("gap", "now", "more", "expected"),
        [
            ("run_after", "01:00", {}, "CF"),
            ("skip", "01:00", {}, "LD"),
            ("skip", "02:00", {}, "CDL"),
            ("run_after", "02:00", {"misfire": ALL, "overlap": ALLOW}, "LLL"),
            ("skip", "02:00", {"misfire": ALL, "overlap": ALLOW}, "LDL"),
            ("skip", "02:00", {"misfire": SKIP}, "MDM"),
            ("skip", "01:00", {"overlap": DROP, "open_tasks": OPEN[:1]}, "OD"),
            ("skip", "01:00", {"pause": Pause(datetime(2026, 1, 1, tzinfo=UTC))}, "PD"),
            ("run_after", "01:00", {"pause": Pause(datetime(2026, 1, 1, tzinfo=UTC))}, "PP"),
        ],
    )
    def test_decides(self, gap: str, now: str, more: dict[str, Any], expected: str) -> None:
        definition = Definition(
            cron="30 1,2,3 * * *", timezone="Europe/Berlin", anchor=clock("00:00"), dst_gap=DstGap(gap)
        )
        given = {name: more.pop(name) for name in ("pause", "open_tasks") if name in more}
        night = datetime(2026, 3, 29, tzinfo=UTC)
        decided = decide(
            SCHEDULE,
            parse(definition),
            Policy(**more),
            first=night,
            now=datetime.combine(night, time.fromisoformat(now), UTC),
            **given,
        )
        assert states(decided) == expected

    def test_a_slot_in_the_gap_waits_for_the_end_of_a_blackout_only_if_it_runs(self) -> None:
        night = datetime(2026, 3, 29, tzinfo=UTC)
        calendar = Calendar(
            "quiet", "UTC", AT_END, (Absolute([(night + timedelta(minutes=50), night + timedelta(hours=3))]),)
        )
        for gap, expected in ((DstGap.RUN_AFTER, "L"), (DstGap.SKIP, "LD")):
            definition = Definition(cron="30 1,2,3 * * *", timezone="Europe/Berlin", anchor=night, dst_gap=gap)
            decided = decide(
                SCHEDULE,
                parse(definition),
                Policy(calendars=(calendar,), grace=timedelta(0), overlap=ALLOW, misfire=ALL),
                first=night,
                now=night + timedelta(minutes=45),
            )
            assert states(decided) == "L"
            assert decided.next is not None
            decided = decide(
                SCHEDULE,
                parse(definition),
                Policy(calendars=(calendar,)),
                first=decided.next.slot.at,
                now=night + timedelta(minutes=70),
            )
            assert "L" + states(decided) == expected


class TestWaiting:
    calendar = blackout("10:30", "12:30", "run_at_end")

    def test_looks_again_at_the_end_of_the_blackout(self) -> None:
        decided = look("11:00", calendars=(self.calendar,), grace=timedelta(hours=1))
        assert states(decided) == "F"
        assert decided.next is not None
        assert (decided.next.slot.at, decided.next.at) == (clock("11:00"), clock("12:30"))

    def test_decides_no_later_slot_meanwhile(self) -> None:
        # 12:00 is paused, but 11:00 before it waits; the stored next slot can only be one.
        decided = look("12:00", first="11:00", calendars=(self.calendar,), pause=Pause(clock("11:30"), clock("12:10")))
        assert states(decided) == ""

    def test_missed_slots_wait_for_the_end_of_a_blackout_that_began_meanwhile(self) -> None:
        decided = look("11:30", first="09:00", calendars=(blackout("11:15", "13:00", "run_at_end"),))
        assert states(decided) == ""
        assert decided.next is not None
        assert (decided.next.slot.at, decided.next.at) == (clock("09:00"), clock("13:00"))

    def test_a_waiting_slot_may_be_skipped_for_overlap_at_the_end(self) -> None:
        decided = look("12:30", first="11:00", calendars=(self.calendar,), open_tasks=1)
        assert states(decided) == "CO"

    def test_names_the_calendar(self) -> None:
        decided = look("12:30", first="12:00", calendars=(self.calendar,))
        assert decided.decisions[0].note == "waited for the end of blackout quiet"


class TestLongOutages:
    def every_second(self) -> Recurrence:
        return parse(Definition(interval_seconds=1, anchor=clock("00:00")))

    @pytest.mark.parametrize(
        ("misfire", "runs", "older"),
        [(SKIP, 61, FireState.MISSED), (ONCE, 61, FireState.COALESCED), (ALL, 71, FireState.MISSED)],
    )
    def test_looks_at_the_newest_hundred(self, misfire: Misfire, runs: int, older: FireState) -> None:
        first, now = clock("00:00") - timedelta(days=365) + timedelta(days=366), clock("00:00") + timedelta(days=366)
        policy = Policy(misfire=misfire, overlap=ALLOW)
        decided = decide(SCHEDULE, self.every_second(), policy, first=first, now=now)
        assert len(decided.decisions) == 101
        oldest = decided.decisions[0]
        assert (oldest.slot.at, oldest.last_slot, oldest.state) == (first, now - timedelta(seconds=100), older)
        assert sum(decision.runs for decision in decided.decisions) == runs
        assert decided.decisions[-1].slot.at == now

    def test_run_all_never_runs_more_missed_slots_than_its_bound(self) -> None:
        policy = Policy(misfire=ALL, max_runs=100, overlap=ALLOW, grace=timedelta(0))
        now = clock("00:00") + timedelta(days=7, milliseconds=500)
        decided = decide(SCHEDULE, self.every_second(), policy, first=clock("00:00"), now=now)
        assert sum(decision.runs for decision in decided.decisions) == 100

    @pytest.mark.parametrize(
        ("pause", "expected"),
        [
            (Pause(clock("00:00")), FireState.SKIPPED_PAUSED),
            (Pause(clock("00:00"), clock("23:00")), FireState.SKIPPED_PAUSED),
            (Pause(clock("00:00"), clock("12:00")), FireState.COALESCED),
        ],
    )
    def test_older_slots_are_paused_if_all_of_them_were(self, pause: Pause, expected: FireState) -> None:
        decided = decide(
            SCHEDULE, self.every_second(), Policy(), first=clock("00:00"), now=clock("23:00:30"), pause=pause
        )
        assert decided.decisions[0].last_slot is not None
        assert decided.decisions[0].state == expected

    def test_a_thousand_slots_are_looked_at_one_by_one(self) -> None:
        decided = decide(SCHEDULE, self.every_second(), Policy(), first=clock("00:00:01"), now=clock("00:16:40"))
        assert len(decided.decisions) == 1000
        assert all(decision.last_slot is None for decision in decided.decisions)


class TestNotes:
    def test_say_what_a_missed_slot_went_into(self) -> None:
        decided = look("12:30")
        assert decided.decisions[0].note == "into the slot 2026-06-01T12:00:00Z"

    def test_name_the_open_task(self) -> None:
        assert look("10:00", open_tasks=2).decisions[0].note == f"task {OPEN[1]} is open"

    def test_name_the_slot_that_runs(self) -> None:
        assert look("11:30", misfire=ALL).decisions[1].note == "the slot 2026-06-01T10:00:00Z runs"

    def test_name_the_slot_that_replaces_it(self) -> None:
        decided = look("11:30", misfire=ALL, overlap=CANCEL)
        assert decided.decisions[0].note == "replaced by the slot 2026-06-01T11:00:00Z"

    def test_name_the_blackout(self) -> None:
        decided = look("10:00", calendars=(blackout("10:00", "10:30"),))
        assert decided.decisions[0].note == "blackout quiet until 2026-06-01T10:30:00Z"


class TestCancelling:
    def test_the_run_cancels_what_was_open(self) -> None:
        decided = look("11:30", misfire=ALL, overlap=CANCEL, open_tasks=1)
        assert [decision.cancel_open for decision in decided.decisions] == [False, True]

    def test_nothing_is_cancelled_where_nothing_is_open(self) -> None:
        assert not look("10:00", overlap=CANCEL).decisions[0].cancel_open

    @pytest.mark.parametrize("overlap", [ALLOW, DROP, QUEUE])
    def test_other_choices_cancel_nothing(self, overlap: Overlap) -> None:
        assert not any(decision.cancel_open for decision in look("10:00", overlap=overlap, open_tasks=1).decisions)


class TestNext:
    def test_is_the_first_undecided_slot(self) -> None:
        decided = look("10:30")
        assert decided.next is not None
        assert decided.next.slot.at == decided.next.at == clock("11:00")

    def test_is_none_after_the_end(self) -> None:
        recurrence = parse(Definition(interval_seconds=3600, anchor=clock("00:00"), end_at=clock("10:00")))
        decided = decide(SCHEDULE, recurrence, Policy(), first=clock("10:00"), now=clock("10:00"))
        assert states(decided) == "F"
        assert decided.next is None

    def test_slots_go_on_while_paused(self) -> None:
        decided = look("10:00", pause=PAUSED)
        assert decided.next is not None
        assert decided.next.slot.at == clock("11:00")


def test_jittered_slots_are_decided_at_their_due_moment() -> None:
    spread = timedelta(minutes=50)
    due = next_due(SCHEDULE, hourly(), spread, after=clock("09:30"))
    assert due is not None
    assert clock("10:00") < due.at < clock("10:50")
    before = decide(SCHEDULE, hourly(), Policy(jitter=spread), first=clock("10:00"), now=due.at - timedelta(seconds=1))
    assert before.decisions == ()
    assert before.next == due
    then = decide(SCHEDULE, hourly(), Policy(jitter=spread), first=clock("10:00"), now=due.at)
    assert states(then) == "F"
    assert then.decisions[0].due_at == due.at
    assert then.next == next_due(SCHEDULE, hourly(), spread, after=clock("10:00"))
