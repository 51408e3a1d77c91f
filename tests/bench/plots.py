"""Small charts as SVG: a line through medians, with a bar from the lowest to the highest run at each point."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from tests.bench.results import Record

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 76, 24, 44, 56
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#333}.title{font-size:15px;font-weight:600}.grid{stroke:#ddd}"
    ".line{fill:none;stroke:#1f6feb;stroke-width:2.5}.bar{stroke:#1f6feb;stroke-width:1.5}.dot{fill:#1f6feb}"
)


@dataclass(frozen=True, slots=True)
class Point:
    label: str
    values: Sequence[float]


def chart(title: str, axis: str, points: Sequence[Point]) -> str:
    """One chart. Points stand at equal distances, whatever their labels say; the y axis begins at 0."""
    top = _round_up(max(max(point.values) for point in points))
    step = (WIDTH - LEFT - RIGHT) / max(1, len(points) - 1)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<style>{STYLE}</style><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text class="title" x="{LEFT}" y="24">{escape(title)}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 12}" text-anchor="middle">{escape(axis)}</text>',
    ]
    for i in range(5):
        value = top * i / 4
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:,.0f}</text>')
    path = []
    for i, point in enumerate(points):
        x, middle = LEFT + i * step, statistics.median(point.values)
        path.append(f"{x:.1f},{y(middle):.1f}")
        low, high = y(min(point.values)), y(max(point.values))
        parts.append(f'<line class="bar" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>')
        parts.append(f'<circle class="dot" cx="{x:.1f}" cy="{y(middle):.1f}" r="4"/>')
        anchor = "end" if i == len(points) - 1 else "middle"
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="{anchor}">{escape(point.label)}</text>'
        )
    parts.append(f'<polyline class="line" points="{" ".join(path)}"/></svg>')
    return "\n".join(parts) + "\n"


def write_plots(folder: Path, records: Sequence[Record]) -> list[Path]:
    """Throughput by workers and by backlog, each if there are records for it; returns the files written."""
    wanted = (
        ("throughput_by_workers", "Throughput by number of workers (tasks/s)", "workers", "workers"),
        ("throughput_by_backlog", "Throughput by backlog (tasks/s)", "w4", "queued"),
    )
    written = []
    for name, title, workload, key in wanted:
        values: dict[int, list[float]] = {}
        for record in records:
            if record.workload == workload and key in record.run.detail:
                values.setdefault(record.run.detail[key], []).append(record.run.values["tasks_s"])
        if values:
            axis = "workers" if key == "workers" else "tasks queued"
            path = folder / f"{name}.svg"
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(chart(title, axis, [Point(f"{x:,}", values[x]) for x in sorted(values)]))
            written.append(path)
    return written


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 6, 8 times a power of ten: quarters of it are short numbers."""
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(power * factor for factor in (1, 2, 4, 6, 8, 10, 20) if power * factor >= value)
