"""The pictures in the documentation show what the rules decide today."""

from __future__ import annotations

import re

import pytest

from tests.support.schedule_pictures import FOLDER, Picture, draw, pictures

PAGE = (FOLDER.parent / "schedules.md").read_text()
PICTURES = list(pictures())


class TestPictures:
    @pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
    def test_are_those_of_the_rules(self, picture: Picture) -> None:
        drawn = (FOLDER / f"{picture.name}.svg").read_text()
        assert drawn == draw(picture), "draw them again: python -m tests.support.schedule_pictures"

    def test_are_all_shown(self) -> None:
        assert set(re.findall(r"\]\(pictures/(\w+)\.svg\)", PAGE)) == {picture.name for picture in PICTURES}
        assert {path.stem for path in FOLDER.iterdir()} == {picture.name for picture in PICTURES}
