"""Explanations: examples read by eye, and what no explanation may say, over everything that can be written."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules_app.recurrence import Definition, InvalidRecurrence, parse
from schedules_app.recurrence.phrases import every, numbered, ordinal, times
from tests.support.scale import examples

ANCHOR = datetime(2026, 1, 1, 9, 15, 5, tzinfo=UTC)


def explained(**definition: Any) -> str:
    return parse(Definition(**definition, anchor=ANCHOR)).explain().removesuffix(", UTC")


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("* * * * *", "Every minute"),
        ("*/15 * * * *", "Every 15 minutes"),
        ("0,15,30,45 * * * *", "Every 15 minutes"),
        ("*/7 * * * *", "Every hour at minutes 0 through 56 in steps of 7"),
        ("1-59/2 * * * *", "Every hour at minutes 1 through 59 in steps of 2"),
        ("0 * * * *", "Every hour"),
        ("5 * * * *", "Every hour at minute 5"),
        ("5,35 * * * *", "Every hour at minutes 5 and 35"),
        ("0 */2 * * *", "Every 2 hours"),
        ("30 */2 * * *", "Every 2 hours at minute 30"),
        ("0 */5 * * *", "At minute 0 of hours 0 through 20 in steps of 5 every day"),
        ("* */2 * * *", "Every minute of hours 0 through 22 in steps of 2"),
        ("*/15 9-17 * * MON-FRI", "Every 15 minutes from 09:00 to 17:45 on Monday through Friday"),
        ("* 9 * * *", "Every minute from 09:00 to 09:59"),
        ("0-10 11 * * *", "Every minute from 11:00 to 11:10"),
        ("30 9-17 * * *", "Every hour from 09:30 to 17:30"),
        ("5,35 9-17 * * *", "At minutes 5 and 35 of hours 9 through 17 every day"),
        ("0 9,17 * * *", "At 09:00 and 17:00 every day"),
        ("0 0,6,12,18 * * *", "At 00:00, 06:00, 12:00 and 18:00 every day"),
        ("0 9 31 * *", "At 09:00 on the 31st of every month"),
        ("0 9 1,15 * *", "At 09:00 on the 1st and 15th of every month"),
        ("0 9 11,12,13 * *", "At 09:00 on the 11th through 13th of every month"),
        ("0 9 */2 * *", "At 09:00 on every 2nd day from the 1st to the 31st of every month"),
        ("0 9 1 1 *", "At 09:00 on the 1st of January"),
        ("0 9 * */3 *", "At 09:00 every day in January, April, July and October"),
        ("0 9 L * *", "At 09:00 on the last day of every month"),
        ("0 9 1,LW * *", "At 09:00 on the 1st and the last weekday (Monday through Friday) of every month"),
        ("0 9 * * 7", "At 09:00 on Sunday"),
        ("0 9 * * SUN,SAT", "At 09:00 on Saturday and Sunday"),
        ("0 9 * * MON#1", "At 09:00 on the 1st Monday of every month"),
        ("0 9 * JAN 5L,MON", "At 09:00 on Monday and the last Friday of January"),
        ("0 9 13 * 5", "At 09:00 on the 13th of the month or on Friday"),
        ("0 9 13 6 5", "At 09:00 on the 13th of the month or on Friday, only in June"),
        ("0 9 */13 * 5,6", "At 09:00 on the 1st, 14th and 27th of every month if it is Friday or Saturday"),
        ("0 9 1-31 * MON", "At 09:00 every day"),
        ("* * * * * *", "Every second"),
        ("*/15 * * * * *", "Every 15 seconds"),
        ("30 * * * * *", "Every minute at second 30"),
        ("5,10 * * * * *", "Every minute at seconds 5 and 10"),
        ("30 0 12 * * *", "At 12:00:30 every day"),
        ("* 5 * * * *", "Every second of minute 5 of every hour"),
        ("5 */20 8-10 1 * *", "At second 5 of minutes 0, 20 and 40 of hours 8 through 10 on the 1st of every month"),
    ],
)
def test_crons(cron: str, words: str) -> None:
    assert explained(cron=cron) == words


@pytest.mark.parametrize(
    ("rrule", "words"),
    [
        ("FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "Every week on Monday through Friday at 09:15:05"),
        ("FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR,SA,SU", "Every week on every day at 09:15:05"),
        (
            "FREQ=MONTHLY;BYDAY=-1FR,1MO,-2SU",
            "Every month on the 1st Monday, the 2nd to last Sunday and the last Friday at 09:15:05",
        ),
        ("FREQ=MONTHLY;BYMONTHDAY=1,15,-1", "Every month on the 1st, 15th and last day of the month at 09:15:05"),
        (
            "FREQ=MONTHLY;BYMONTHDAY=1,2,3,31",
            "Every month on the 1st through 3rd and 31st day of the month at 09:15:05",
        ),
        ("FREQ=YEARLY", "Every year on the 1st day of January at 09:15:05"),
        ("FREQ=YEARLY;BYDAY=20MO", "Every year on the 20th Monday of the year at 09:15:05"),
        (
            "FREQ=YEARLY;BYWEEKNO=20,-1;BYDAY=MO",
            "Every year on Monday in the 20th and last week of the year at 09:15:05",
        ),
        ("FREQ=DAILY;BYHOUR=9,10,11;BYMINUTE=0,30;BYSECOND=0", "Every day, every 30 minutes from 09:00 to 11:30"),
        ("FREQ=HOURLY", "Every hour at minute 15, second 5"),
        ("FREQ=MINUTELY;INTERVAL=15;BYHOUR=9,10;BYSECOND=0", "Every 15 minutes in hours 9 and 10"),
        ("FREQ=SECONDLY;INTERVAL=40", "Every 40 seconds"),
        (
            "FREQ=HOURLY;BYMINUTE=0,20,40;BYSETPOS=2,-1;BYSECOND=0",
            "Every hour at minutes 0, 20 and 40 (only the 2nd and last of these in each hour)",
        ),
    ],
)
def test_rrules(rrule: str, words: str) -> None:
    assert explained(rrule=rrule) == words


def test_limits_stand_behind_the_zone() -> None:
    assert (
        explained(rrule="FREQ=DAILY;COUNT=10", timezone="Europe/Berlin")
        == "Every day at 10:15:05, Europe/Berlin time, 10 times"
    )
    assert explained(rrule="FREQ=DAILY;COUNT=1") == "Every day at 09:15:05, UTC, once"
    assert explained(rrule="FREQ=DAILY;UNTIL=20261231T000000Z").endswith("09:15:05, UTC, until 2026-12-31 00:00:00 UTC")


def test_ordinals_end_as_they_are_spoken() -> None:
    for number in range(1, 400):
        spoken = {"1": "st", "2": "nd", "3": "rd"}.get(str(number)[-1], "th")
        if str(number)[-2:] in ("11", "12", "13"):
            spoken = "th"
        assert ordinal(number) == f"{number}{spoken}"
        assert ordinal(-number) == ("last" if number == 1 else f"{number}{spoken} to last")


@pytest.mark.parametrize("step", [step for step in range(1, 60) if 60 % step == 0])
def test_even_steps_are_told_as_such(step: int) -> None:
    assert explained(cron=f"*/{step} * * * *") == ("Every minute" if step == 1 else f"Every {step} minutes")
    assert explained(cron=f"*/{step} * * * * *") == ("Every second" if step == 1 else f"Every {step} seconds")
    if 24 % step == 0 and step > 1:
        assert explained(cron=f"0 */{step} * * *").startswith(("Every", "At 00:00")), step


_FIELD = {
    "second": st.sets(st.integers(0, 59), min_size=1),
    "minute": st.sets(st.integers(0, 59), min_size=1),
    "hour": st.sets(st.integers(0, 23), min_size=1),
    "day": st.sets(st.integers(1, 31), min_size=1),
    "month": st.sets(st.integers(1, 12), min_size=1),
    "weekday": st.sets(st.integers(0, 7), min_size=1),
}
_TERMS = {
    "day": ["*", "*/2", "1-7", "L", "LW", "1,L", "*/10"],
    "weekday": ["*", "*/2", "1-5", "5L", "1#1", "1#2,5L", "*/3"],
}


def _even(size: int) -> st.SearchStrategy[set[int]]:
    """In equal steps, in one piece, or all of them: what people write."""
    parts = st.tuples(st.integers(0, size - 1), st.integers(0, size - 1), st.sampled_from([1, 2, 3, 5, 7, 15, 30]))
    found = parts.map(lambda part: set(range(min(part[:2]), max(part[:2]) + 1, part[2])))
    return found | st.sampled_from([1, 2, 4, 5, 7, 15]).map(lambda step: set(range(0, size, step)))


def _field(name: str) -> st.SearchStrategy[str]:
    lists = _FIELD[name].map(lambda numbers: ",".join(map(str, sorted(numbers)))[:60].rstrip(","))
    return st.sampled_from(_TERMS.get(name, ["*", "*/2", "*/7", "3-8", "0"][: 5 if name != "month" else 4])) | lists


_crons = st.tuples(*map(_field, _FIELD)).map(" ".join)
#: A number without its ending, a wrong ending, a wrong article or plural, a word or a mark twice, an empty part.
_WRONG = re.compile(
    r"(?<!1)[123]th\b|1[123](st|nd|rd)\b|\b[04-9](st|nd|rd)\b|\b[24-9]1th|\ba hour\b|\b1 (minutes|hours|seconds|days)\b"
    r"|\bevery 1 |\b(\w+) \2\b|  | ,|,,|\(\)|\band$|\bof$|\bon$|\bin$|\bNone\b|\[|\{|-\d"
)


@examples(400)
@given(_crons)
def test_no_cron_is_explained_in_wrong_words(cron: str) -> None:
    try:
        words = explained(cron=cron)
    except InvalidRecurrence:
        return
    assert not _WRONG.search(words), words
    assert words[0].isupper()


@examples(400)
@given(_FIELD["hour"] | _even(24), _FIELD["minute"] | _even(60), _FIELD["second"] | st.just({0}) | _even(60))
def test_times_name_every_time_and_no_other(hours: set[int], minutes: set[int], seconds: set[int]) -> None:
    """Read back: what the words say is what was asked for."""
    words = times(sorted(hours), sorted(minutes), sorted(seconds))
    assert read_times(words) == {(h, m, s) for h in hours for m in minutes for s in seconds}, words


def read_times(words: str) -> set[tuple[int, int, int]]:
    """The times that an explanation means, read by somebody who has not seen the code that wrote it."""
    if clocks := re.fullmatch(r"at (\d\d:\d\d(?::\d\d)?(?:(?:, | and )\d\d:\d\d(?::\d\d)?)*)", words):
        parts = [list(map(int, clock.split(":"))) for clock in re.split(r", | and ", clocks[1])]
        return {(h, m, *(s or [0])) for h, m, *s in parts}  # type: ignore[misc]
    first, last = (0, 0), (23, 59)
    if window := re.search(r" from (\d\d):(\d\d) to (\d\d):(\d\d)$", words):
        words = words[: window.start()]
        first, last = (int(window[1]), int(window[2])), (int(window[3]), int(window[4]))
    found = {"hour": set(range(24)), "minute": {0}, "second": {0}}
    often = re.match(r"every (?:(\d+) )?(hour|minute|second)s?", words)
    if often:
        size = 24 if often[2] == "hour" else 60
        begin = first[1] if often[2] == "hour" and window else 0
        found[often[2]] = set(range(0, size, int(often[1] or 1)))
        if often[2] == "hour" and window:
            found["minute"] = {begin}
        if often[2] == "minute" and window and first[0] == last[0]:
            found["minute"] = set(range(first[1], last[1] + 1, int(often[1] or 1)))
        if often[2] == "second":
            found["minute"] = set(range(60))
    for unit in ("hour", "minute", "second"):
        if named := re.search(rf"(?:at|of) {unit}s? ((?:\d+(?:, | and | through )?)+)( in steps of \d+)?", words):
            found[unit] = _numbers(named[1].strip(), named[2])
        elif f"of every {unit}" in words:
            found[unit] = set(range(24 if unit == "hour" else 60))
    if words.startswith("every minute at second"):
        found["minute"] = set(range(60))
    return {
        (h, m, s) for h in found["hour"] for m in found["minute"] for s in found["second"] if first <= (h, m) <= last
    }


def _numbers(text: str, steps: str | None) -> set[int]:
    step, found = int(steps.split()[-1]) if steps else 1, set()
    for part in re.split(r", | and ", text):
        first, _, last = part.strip(", ").partition(" through ")
        found.update(range(int(first), int(last or first) + 1, step))
    return found


def test_parts() -> None:
    assert (every(1, "hour"), every(3, "hour")) == ("every hour", "every 3 hours")
    assert numbered("minute", [0, 1, 2, 7, 9]) == "minutes 0 through 2, 7 and 9"
