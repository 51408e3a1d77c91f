"""Folders of tasks: whose they are, and that whatever a task leaves in one is removed."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tasks_app.executors import scratch
from tasks_app.executors.scratch import Scratch


def nest(folder: Path, depth: int) -> None:
    """So deep that its path is longer than any system takes, and a recursion over it ends in an error."""
    held = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d" * 20, dir_fd=held)
        inner = os.open("d" * 20, os.O_RDONLY, dir_fd=held)
        os.close(held)
        held = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=held))
    os.close(held)


def forbid(folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "file").touch()
    (folder / "a" / "b").chmod(0)
    (folder / "a").chmod(0o500)


def fill(folder: Path) -> None:
    for number in range(300):
        (folder / str(number % 7) / str(number)).mkdir(parents=True)
        (folder / str(number % 7) / f"file {number}").touch()
    os.mkfifo(folder / "pipe")
    (folder / "\udcff\n").touch()


def close(folder: Path) -> None:
    (folder / "file").touch()
    folder.chmod(0)


@pytest.fixture(autouse=True)
def _cleared(tmp_path: Path) -> Iterator[None]:
    """What a failed test has nested is too deep for pytest to remove."""
    yield
    subprocess.run(["rm", "-rf", tmp_path], check=False)


class TestScratch:
    def test_is_for_its_owner_only(self, tmp_path: Path) -> None:
        made = Path(Scratch(str(tmp_path)).path)
        assert made.stat().st_mode & 0o777 == 0o700
        assert made.parent == tmp_path

    @pytest.mark.parametrize("leave", [fill, forbid, close, lambda folder: nest(folder, 1500), lambda folder: None])
    def test_removes_whatever_was_left_in_it(self, leave: Callable[[Path], None], tmp_path: Path) -> None:
        made = Scratch(str(tmp_path))
        leave(Path(made.path))
        made.remove()
        assert list(tmp_path.iterdir()) == []

    def test_follows_no_link(self, tmp_path: Path) -> None:
        (precious := tmp_path / "precious").mkdir()
        (precious / "file").touch()
        precious.chmod(0o755)
        made = Scratch(str(tmp_path))
        Path(made.path, "link").symlink_to(precious)
        Path(made.path, "deep").mkdir()
        Path(made.path, "deep", "link").symlink_to(precious)
        made.remove()
        assert (os.listdir(tmp_path), os.listdir(precious)) == (["precious"], ["file"])  # noqa: PTH208

    def test_follows_no_link_in_its_own_place(self, tmp_path: Path) -> None:
        (precious := tmp_path / "precious").mkdir()
        (precious / "file").touch()
        precious.chmod(0o755)
        made = Scratch(str(tmp_path))
        Path(made.path).rename(tmp_path / "elsewhere")
        Path(made.path).symlink_to(precious)
        made.remove()
        scratch.sweep(str(tmp_path))
        assert (precious / "file").exists()
        assert precious.stat().st_mode & 0o777 == 0o755

    @pytest.mark.parametrize("between", [(os, "open"), (fcntl, "flock")])
    def test_is_made_again_when_a_sweeper_takes_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, between: tuple[ModuleType, str]
    ) -> None:
        """Between making and locking it has no owner."""
        module, name = between
        step = getattr(module, name)

        def lose_it_first(*arguments: Any, **options: Any) -> Any:
            monkeypatch.setattr(module, name, step)
            scratch.sweep(str(tmp_path))
            return step(*arguments, **options)

        monkeypatch.setattr(module, name, lose_it_first)
        made = Scratch(str(tmp_path))
        assert list(tmp_path.iterdir()) == [Path(made.path)]


class TestSweep:
    def test_leaves_what_is_owned(self, tmp_path: Path) -> None:
        held = Scratch(str(tmp_path))
        scratch.sweep(str(tmp_path))
        assert Path(held.path).is_dir()

    def test_removes_what_the_dead_have_left(self, tmp_path: Path) -> None:
        code = "import os, sys; from tasks_app.executors.scratch import Scratch; Scratch(sys.argv[1]); os._exit(1)"
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
        [left] = tmp_path.iterdir()
        left.chmod(0)
        scratch.sweep(str(tmp_path))
        assert list(tmp_path.iterdir()) == []

    def test_touches_nothing_else(self, tmp_path: Path) -> None:
        (tmp_path / "task-scheduler-other").mkdir()
        (tmp_path / f"{scratch.PREFIX}file").touch()
        (tmp_path / f"{scratch.PREFIX}link").symlink_to(tmp_path / "task-scheduler-other")
        before = sorted(tmp_path.iterdir())
        scratch.sweep(str(tmp_path))
        assert sorted(tmp_path.iterdir()) == before

    def test_of_a_folder_that_is_not_there_does_nothing(self, tmp_path: Path) -> None:
        scratch.sweep(str(tmp_path / "nowhere"))
