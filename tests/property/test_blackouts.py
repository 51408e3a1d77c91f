"""Blackout calendars against an oracle that looks at each range by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from schedules_app.calendars import parse_calendar
from tests.support.blackout_oracle import LONGEST, WEEKDAYS, blackout_end
from tests.support.scale import examples

#: A clock that jumps by an hour, by half of one, at midnight, over a day; and one that never does.
ZONES = [
    "UTC",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "America/Asuncion",
    "Asia/Beirut",
    "Pacific/Apia",
    "America/Havana",
]
#: Round changes of these clocks, round the ends of years and of February.
MOMENTS = [
    *("2026-03-29T00:30", "2026-10-25T00:30", "2026-04-04T15:00", "2024-10-06T03:50", "2024-03-24T02:45"),
    *("2026-03-28T21:50", "2026-10-24T20:50", "2011-12-30T09:45", "2026-11-01T04:30", "2026-12-31T22:40"),
    *("2027-02-28T22:50", "2028-02-28T22:50", "2026-06-08T00:00"),
]
clocks = st.sampled_from(
    ["00:00", "00:15", "01:30", "02:00", "02:10", "02:30", "03:00", "06:00", "22:00", "23:30", "23:59"]
)
days = st.sampled_from(["01-01", "02-28", "02-29", "03-01", "03-28", "03-29", "06-07", "10-24", "10-25", "12-31"])
moments = st.builds(
    lambda text, seconds: datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(seconds=seconds),
    st.sampled_from(MOMENTS),
    st.integers(-90_000, 90_000),
)
ranges = st.one_of(
    st.builds(
        lambda weekdays, start, stop: {"weekdays": weekdays, "from": start, "to": stop},
        st.lists(st.sampled_from(WEEKDAYS), min_size=1, max_size=7, unique=True),
        clocks,
        clocks,
    ),
    st.builds(lambda first, last: {"dates": f"{first}/{last}"}, days, days),
    st.builds(
        lambda start, minutes: {"from": start.isoformat(), "to": (start + timedelta(minutes=minutes)).isoformat()},
        moments,
        st.integers(1, 3000),
    ),
)
ALWAYS = {"weekdays": WEEKDAYS, "from": "00:00", "to": "00:00"}


@examples(400)
@given(st.lists(ranges, min_size=1, max_size=5), st.sampled_from(ZONES), moments)
@example([{"dates": "03-01/02-28"}], "UTC", datetime(2026, 6, 1, tzinfo=UTC))
@example([ALWAYS], "Europe/Berlin", datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
def test_end_where_each_range_by_itself_says(chosen: list[dict[str, Any]], zone: str, at: datetime) -> None:
    found = parse_calendar("quiet", zone, "skip", chosen).covering(at)
    wanted = blackout_end(chosen, zone, at)
    if wanted is not None and wanted - at >= LONGEST:
        assert found is not None and found - at >= LONGEST
    else:
        assert found == wanted
