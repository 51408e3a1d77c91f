"""What a mutant is: a text of the product, another in its place, the promise broken, the tests that must see it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: Name, number of the promise in ``docs/reliability.md``, text, what replaces it, and tests other than the group's.
Row = tuple[str, int, str, str] | tuple[str, int, str, str, str]


class DoesNotApply(Exception):
    """The product has changed: the text to replace is not there exactly once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """``promise`` is a number of ``docs/reliability.md``, section "Invariants"; ``tests`` are node ids of pytest."""

    name: str
    path: str
    old: str
    new: str
    promise: int
    tests: tuple[str, ...]

    def mutated(self, root: Path = ROOT) -> str:
        """The text of the file with the guard gone. Raises `DoesNotApply`."""
        text = (root / self.path).read_text()
        if (count := text.count(self.old)) != 1:
            raise DoesNotApply(f"{self.name}: {self.path} has this text {count} times, not once: {self.old!r}")
        return text.replace(self.old, self.new)


def mutants_of(prefix: str, path: str, tests: str, *rows: Row) -> list[Mutant]:
    """The mutants of one file. ``tests`` are separated by blanks and begin below ``tests/``."""
    return [
        Mutant(
            name=f"{prefix}.{name}",
            path=path,
            old=old,
            new=new,
            promise=promise,
            tests=tuple(f"tests/{test}" for test in (own[0] if own else tests).split()),
        )
        for name, promise, old, new, *own in rows
    ]
