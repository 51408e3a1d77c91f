"""What is wrong with an input, as a mapping of field paths to one sentence each, bounded in number and in length. Pure.

Whoever sends ten thousand bad fields gets an answer that a person can read and that costs no more than the question:
the first problems, and how many more there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

MOST_PROBLEMS: Final = 100
LONGEST_NAME: Final = 100
LONGEST_SENTENCE: Final = 300
#: Stands for the fields that are not named.
MORE: Final = "…"
_AND_MORE: Final = re.compile(r"and ([0-9]{1,9}) more", re.ASCII)


def bounded(problems: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The first `MOST_PROBLEMS`, names and sentences cut; the rest is counted, but neither kept nor named.

    What was bounded before, below some path, is counted for as many as it stands for.
    """
    kept: dict[str, str] = {}
    more = 0
    for name, sentence in problems:
        if found := _AND_MORE.fullmatch(sentence):
            more += int(found[1])
        elif len(kept) < MOST_PROBLEMS:
            kept[cut(name, LONGEST_NAME)] = cut(sentence, LONGEST_SENTENCE)
        else:
            more += 1
    return kept | and_more(more)


def and_more(count: int) -> dict[str, str]:
    """The problem that stands for so many others; nothing for none."""
    return {MORE: f"and {count} more"} if count else {}


def count_of(problems: Mapping[str, str]) -> int:
    """How many problems there were before they were bounded."""
    return sum(int(found[1]) if (found := _AND_MORE.fullmatch(text)) else 1 for text in problems.values())


def joined(problems: Mapping[str, str]) -> str:
    """All of them in one line, for the text of an exception."""
    return "; ".join(f"{name}: {sentence}" for name, sentence in bounded(problems.items()).items())


def cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + MORE
