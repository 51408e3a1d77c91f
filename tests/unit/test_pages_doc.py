"""`docs/pages.md` shows every picture there is, and none is large. `tests/browser/test_pictures.py` takes them."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Final

from tests.support.environment_names import ROOT

DOCS: Final = Path(ROOT) / "docs"
#: By name, in the order of the document.
PICTURES: Final = re.findall(r"\]\(images/([\w-]+)\.png\)", (DOCS / "pages.md").read_text())
MOST_BYTES: Final = 120_000
WIDTH: Final = 1280


class TestPictures:
    def test_are_those_of_the_folder(self) -> None:
        assert sorted(PICTURES) == sorted(path.stem for path in (DOCS / "images").iterdir())
        assert len(PICTURES) == 12

    def test_are_small_and_of_one_width(self) -> None:
        found = [(DOCS / "images" / f"{name}.png").read_bytes() for name in PICTURES]
        assert {struct.unpack(">I", data[16:20])[0] for data in found} == {WIDTH}
        assert max(map(len, found)) <= MOST_BYTES
        assert sum(map(len, found)) <= 1_200_000
