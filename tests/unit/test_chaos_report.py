"""The campaign's findings add up over runs, and limits are held against all of them together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.chaos.campaign.campaign import Fault, Limit
from tests.chaos.campaign.faults import FAULTS
from tests.chaos.campaign.findings import Findings, Record, read_records
from tests.chaos.campaign.report import exceeded, report, sums

FAULT = Fault(
    name="f",
    title="a fault",
    target="back p99 ≤ 1 s",
    inject=lambda _campaign, _found: None,
    full=10,
    short=1,
    limits={"back": Limit(0.99, 1.0)},
)


def record(*seconds: float, times: int = 1, violations: tuple[str, ...] = ()) -> Record:
    found = Findings({"back": list(seconds)}, Counter(accepted=100), list(violations))
    return Record.of("f", times, 1, "2030-01-01T00:00:00+00:00", {"commit": "abc"}, found)


def test_runs_add_up_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "chaos" / "results.jsonl"
    for written in (record(0.1), record(0.3, violations=("lost: one",)), record(times=0)):
        written.write(path)
    times, found = sums(read_records(path))["f"]
    assert (times, found.times["back"], found.counts["accepted"]) == (2, [0.1, 0.3], 300)
    assert found.violations == ["lost: one"]


def test_a_limit_is_held_against_all_values() -> None:
    assert exceeded(FAULT, Findings({"back": [0.5] * 99 + [9.0]})) == []
    assert exceeded(FAULT, Findings({"back": [0.5] * 98 + [9.0] * 2})) == ["back p99 9.00 s > 1 s"]


def test_the_report_says_what_was_seen_and_what_was_broken() -> None:
    broken = record(2.0, violations=("lost: a", "lost: b"))
    text = report({"f": FAULT}, [record(0.1), broken, record(0.1, times=3), record(0.2)])
    assert "400 tasks accepted" in text
    row = next(line for line in text.splitlines() if line.startswith("| a fault"))
    assert "6 of 10" in row
    assert "back 0.10 / 2 / 2" in row
    assert "back p99 2.00 s > 1 s<br>2 x lost" in row
    since = "(abc; 4 times without since)"
    assert text.endswith(f"- a fault: lost: a {since}\n- a fault: lost: b {since}")


def test_the_report_names_some_of_very_many_violations() -> None:
    text = report({"f": FAULT}, [record(0.1, violations=tuple(f"lost: {n}" for n in range(10)))])
    assert text.count("- a fault: lost: ") == 6
    assert text.endswith("- a fault: and 4 more")
    assert "10 x lost" in text


def test_every_fault_has_its_counts() -> None:
    assert all(name == fault.name and 1 <= fault.short <= fault.full for name, fault in FAULTS.items())
