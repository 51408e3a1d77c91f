"""Fire times against oracles: a walk through every minute for crons, naive expansion and dateutil for RRULEs.

The whole comparison for crons is run by hand: see tests/property/fire_times.py. ``FIRE_TIMES_SEED`` repeats a failure.
"""

from __future__ import annotations

import os
import random
import re
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from dateutil import rrule as dateutil
from hypothesis import given
from hypothesis import strategies as st

from schedules_app.recurrence import Definition, Effort, InvalidRecurrence, parse
from tests.property.fire_times import compare_all
from tests.support.rrule_oracle import naive_rrule
from tests.support.scale import WHOLE, examples

pytestmark = pytest.mark.timeout(300)


def test_crons_fire_as_a_walk_through_every_minute_says() -> None:
    seed = int(os.environ.get("FIRE_TIMES_SEED", random.randrange(10**6)))
    size = {"shapes": 3, "made_up": 2} if WHOLE else {"shapes": 2, "made_up": 1, "part": seed % 20 + 1, "parts": 20}
    print(compare_all(seed, **size))


_START = datetime(2024, 1, 1, 8, 30)
_DAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]


def _numbers(*choices: int) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(choices), min_size=1, max_size=3, unique=True).map(lambda n: ",".join(map(str, n)))


@st.composite
def rules(draw: st.DrawFn) -> str:
    """RRULEs that RFC 5545 allows."""
    freq = draw(st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY"]))
    numbered = freq in ("YEARLY", "MONTHLY")
    parts = {"FREQ": freq, "INTERVAL": str(draw(st.sampled_from([1, 1, 2, 3, 4, 6])))}
    optional = {
        "BYMONTH": _numbers(1, 2, 6, 12),
        "BYDAY": st.lists(
            st.builds(
                lambda n, day: f"{n}{day}",
                st.sampled_from(["", "1", "2", "-1", "5"] if numbered else [""]),
                st.sampled_from(_DAYS),
            ),
            min_size=1,
            max_size=3,
            unique=True,
        ).map(",".join),
        "BYHOUR": _numbers(0, 2, 8, 9, 23),
        "BYMINUTE": _numbers(0, 30, 59),
        "BYSETPOS": _numbers(1, 2, -1),
        "WKST": st.sampled_from(["MO", "SU", "WE"]),
    }
    if freq != "WEEKLY":
        optional["BYMONTHDAY"] = _numbers(1, 13, 29, 31, -1, -31)
    if freq == "YEARLY":
        optional["BYYEARDAY"] = _numbers(1, 60, 366, -1)
    for name in draw(st.lists(st.sampled_from(sorted(optional)), max_size=4, unique=True)):
        parts[name] = draw(optional[name])
    if draw(st.booleans()):
        parts["COUNT"] = str(draw(st.integers(1, 40)))
    return ";".join(f"{name}={value}" for name, value in parts.items())


@examples(150)
@given(rules(), st.integers(0, 700))
def test_rrules_fire_as_a_naive_expansion_says(text: str, days_later: int) -> None:
    """Both ways, from any day on."""
    try:
        recurrence = parse(Definition(rrule=text, anchor=_START.replace(tzinfo=UTC)))
    except InvalidRecurrence:
        return
    begin = _START + timedelta(days=days_later, minutes=7)
    end = begin + timedelta(days=40 if "HOURLY" in text or "MINUTELY" in text else 800)
    wanted = naive_rrule(text, _START, begin, end)
    after, until = begin.replace(tzinfo=UTC) - timedelta(seconds=1), end.replace(tzinfo=UTC)
    found = [slot.local for slot in recurrence.slots(after, until, Effort(10**9))]
    assert found == wanted
    newest = recurrence.recent(after=after, until=until, limit=50, effort=Effort(10**9))
    assert [slot.local for slot in newest] == wanted[-50:]


@examples(200)
@given(rules().filter(lambda text: "BYSETPOS" not in text and not re.search(r"BYDAY=([^;]*,)?[A-Z]", text)))
def test_rrules_fire_as_dateutil_says(text: str) -> None:
    """Without BYSETPOS, which dateutil applies to what DTSTART left of its period, and days it would mix up."""
    try:
        recurrence = parse(Definition(rrule=text, anchor=_START.replace(tzinfo=UTC)))
    except InvalidRecurrence:
        return
    found = [slot.local for slot in islice(recurrence.slots(datetime(2024, 1, 1, tzinfo=UTC)), 30)]
    if found:  # what never fires would keep dateutil busy to the year 9999
        assert found == list(islice(dateutil.rrulestr(text, dtstart=_START), len(found)))
