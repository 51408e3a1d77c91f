"""Documents with a part that is made of figures: what people wrote around the markers stays."""

from __future__ import annotations

from pathlib import Path

BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"


def write_generated(path: Path, generated: str) -> None:
    """Put text between the markers. Raises ValueError without markers."""
    text = path.read_text()
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path} has no {BEGIN} … {END}")
    path.write_text(f"{head}{BEGIN}\n{generated.strip()}\n{END}{tail}")


def table_row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
