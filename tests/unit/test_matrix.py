"""That `make matrix` goes on after a failure, hides none, and ends with a table."""

from __future__ import annotations

from pathlib import Path
from subprocess import CalledProcessError

import pytest

from tests import matrix
from tests.matrix import Combination


class TestMatrix:
    @pytest.fixture(autouse=True)
    def everything_is_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(matrix, "python", lambda version: Path("/") if version != "3.14" else None)
        monkeypatch.setattr(matrix, "POSTGRESQLS", {"18": None})

    def rows(self, capsys: pytest.CaptureFixture[str]) -> list[str]:
        return capsys.readouterr().out.splitlines()[2:]

    def test_goes_on_after_a_failure_and_ends_with_it(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(matrix, "run", lambda c, _: "1 failed, 2 passed" if c.django == "6.0" else "3 passed")
        assert matrix.main(["--only", "3.12", "-n", "1"]) == 1
        assert self.rows(capsys) == [
            "| 3.12 | 5.2 | 18 | 3 passed |",
            "| 3.12 | 6.0 | 18 | 1 failed, 2 passed |",
            "| 3.12 | 6.1 | 18 | 3 passed |",
        ]

    def test_passes_without_what_is_not_here(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(matrix, "run", lambda *_: "3 passed")
        assert matrix.main(["--only", "Django 5.2"]) == 0
        assert self.rows(capsys) == [
            *(f"| 3.{minor} | 5.2 | 18 | 3 passed |" for minor in (11, 12, 13)),
            "| 3.14 | 5.2 | 18 | not run: no Python 3.14 here |",
        ]

    def test_goes_on_when_nothing_can_be_installed(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def refuse(_: Combination) -> Path:
            raise CalledProcessError(1, "pip")

        monkeypatch.setattr(matrix, "installed", refuse)
        assert matrix.main(["--only", "3.11"]) == 1
        assert self.rows(capsys)[0].startswith("| 3.11 | 5.2 | 18 | not installed: ")

    def test_leaves_out_what_a_django_does_not_run_on(self) -> None:
        assert {each.django for each in matrix.combinations() if each.python == "3.11"} == {"5.2"}

    def test_names_files_that_exist(self) -> None:
        assert [name for name in matrix.FILES if not list((matrix.ROOT / "tests").glob(name))] == []


class TestSummary:
    @pytest.mark.parametrize(
        ("output", "status", "said"),
        [
            ("...\n2730 passed in 354.10s (0:05:54)\n", 0, "2730 passed"),
            ("\n1 failed, 2729 passed in 354.10s (0:05:54)\n", 1, "1 failed, 2729 passed"),
            ("\n5 passed in 1.00s\n", 3, "exit status 3: 5 passed"),
            ("", 4, "no result"),
            ("", 0, "no result"),
        ],
    )
    def test_never_takes_a_failure_for_a_pass(self, output: str, status: int, said: str) -> None:
        assert matrix.summary(output, status) == said
