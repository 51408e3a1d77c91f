"""All runs added up, as a Markdown table; and whether what was promised was seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tests.chaos.campaign.campaign import Fault, tally
from tests.chaos.campaign.findings import Findings, Record
from tests.support.documents import table_row
from tests.support.figures import number, percentile

HEADINGS = ["fault", "times", "target", "p50 / p99 / max, in seconds unless said otherwise", "counts", "violations"]
#: Violations of one fault that are shown in words.
MOST_TOLD = 6
#: Counts that are the same question for every fault stand in the sentence above the table.
EVERYWHERE = ("accepted", "runs", "lost", "overlaps")


def sums(records: Iterable[Record]) -> dict[str, tuple[int, Findings]]:
    """Of each fault how often it was injected, and all that was found."""
    found: dict[str, tuple[int, Findings]] = {}
    for record in records:
        times, findings = found.setdefault(record.fault, (0, Findings()))
        for name, values in record.figures.items():
            findings.times[name] += values
        findings.counts.update(record.counts)
        findings.violations += record.violations
        found[record.fault] = (times + record.times, findings)
    return found


def exceeded(fault: Fault, found: Findings) -> list[str]:
    """The limits of a fault that its times, taken together, do not keep."""
    broken = []
    for name, limit in fault.limits.items():
        if values := found.times.get(name):
            seen = percentile(values, limit.share)
            if seen > limit.seconds:
                broken.append(f"{name} p{100 * limit.share:.0f} {seen:.2f} s > {limit.seconds:g} s")
    return broken


def report(faults: Mapping[str, Fault], records: Sequence[Record]) -> str:
    """The table, and the violations in words below it."""
    added, everything = sums(records), Findings()
    lines = [table_row(HEADINGS), table_row(["---"] * len(HEADINGS))]
    below = []
    for name, fault in faults.items():
        if name not in added:
            continue
        times, found = added[name]
        everything.add(found)
        broken = [*exceeded(fault, found), *(f"{count} x {kind}" for kind, count in tally(found.violations).items())]
        counts = [f"{value:,} {key}" for key, value in found.counts.items() if key not in EVERYWHERE]
        figures = [f"{key} {_spread(values)}" for key, values in found.times.items()]
        cells = [fault.title, f"{times} of {fault.full}", fault.target, _lines(figures), _lines(counts)]
        lines.append(table_row([*cells, _lines(broken) or "none"]))
        below += [f"- {fault.title}: {text}" for text in _told([record for record in records if record.fault == name])]
    commits = ", ".join(dict.fromkeys(record.machine["commit"] for record in records))
    counts_of = everything.counts
    head = (
        f"{counts_of['accepted']:,} tasks accepted, {counts_of['runs']:,} executions written down outside the system; "
        f"{counts_of['lost']} tasks lost, {counts_of['overlaps']} executions overlapped. Commits {commits}; "
        f"{records[0].at[:10]} to {records[-1].at[:10]}."
    )
    return "\n".join([head, "", *lines, *(["", "Violations:", "", *below] if below else [])])


def _told(records: Sequence[Record]) -> list[str]:
    """Each violation of a fault, the commit it was seen on, and how often the fault came without it since."""
    last = {text: place for place, record in enumerate(records) for text in record.violations}
    since = {text: sum(record.times for record in records[place + 1 :]) for text, place in last.items()}
    told = [
        f"{text} ({records[place].machine['commit']}; {since[text]} times without since)"
        for text, place in last.items()
    ]
    more = len(told) - MOST_TOLD
    return told if more <= 0 else [*told[:MOST_TOLD], f"and {more} more"]


def _spread(values: Sequence[float]) -> str:
    return " / ".join(number(percentile(values, share)) for share in (0.5, 0.99, 1))


def _lines(texts: Sequence[str]) -> str:
    return "<br>".join(texts)
