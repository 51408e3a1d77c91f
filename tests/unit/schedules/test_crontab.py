"""Crontabs line by line, and what a command gets as its input."""

from __future__ import annotations

from pathlib import Path
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules_app.crontab import Job, Note, Unreadable, read_crontab, split_input
from schedules_app.host_zone import host_zone

CRONTAB = """\
# Edit this file to introduce tasks to be run by cron.
#
# m h  dom mon dow   command
MAILTO=ops@example.com
PATH = "/usr/local/bin:/usr/bin"

# The report that finance reads.
# Asked for by Ada.
30 2 * * 1-5   /usr/local/bin/report  --full
#0 3 * * * /usr/local/bin/old-report
*/10\t*\t*\t*\t*\tsync-mail # not a comment

SHELL=/bin/bash
 @daily  rotate "two  blanks"\r
"""


def jobs(text: str, *, user_column: bool = False) -> list[Job]:
    return [line for line in read_crontab(text, user_column=user_column) if isinstance(line, Job)]


class TestReadCrontab:
    def test_finds_jobs_with_what_stands_above_them(self) -> None:
        path = {"PATH": "/usr/local/bin:/usr/bin"}
        assert jobs(CRONTAB) == [
            Job(
                number=9,
                cron="30 2 * * 1-5",
                command="/usr/local/bin/report  --full",
                variables=path,
                comment="The report that finance reads.\nAsked for by Ada.",
            ),
            Job(number=11, cron="*/10 * * * *", command="sync-mail # not a comment", variables=path),
            Job(number=14, cron="@daily", command='rotate "two  blanks"', variables=path | {"SHELL": "/bin/bash"}),
        ]

    def test_tells_of_variables(self) -> None:
        notes = [line for line in read_crontab(CRONTAB, user_column=False) if isinstance(line, Note)]
        assert [(note.number, note.is_ignored) for note in notes] == [(4, True), (5, False), (13, False)]
        assert "no mail is sent" in notes[0].text

    @pytest.mark.parametrize(
        ("line", "value"),
        [
            ("A=b", "b"),
            ("A = b c ", "b c"),
            ('A=" b "', " b "),
            ("A=' b '", " b "),
            ('"A"=b', "b"),
            ("A=$HOME/bin", "$HOME/bin"),
            ("A=", ""),
            ("A='b", "'b"),
        ],
    )
    def test_reads_values_as_cron_does(self, line: str, value: str) -> None:
        [job] = jobs(f"{line}\n* * * * * true")
        assert job.variables == {"A": value}

    def test_variables_hold_below_them_until_they_are_set_again(self) -> None:
        found = jobs("* * * * * a\nX=1\n* * * * * b\nX=2\n* * * * * c")
        assert [dict(job.variables) for job in found] == [{}, {"X": "1"}, {"X": "2"}]

    def test_a_user_column(self) -> None:
        text = "17 * * * *\troot    cd / && run-parts --report /etc/cron.hourly\n@daily www-data:web /x y"
        first, second = jobs(text, user_column=True)
        assert (first.user, first.command) == ("root", "cd / && run-parts --report /etc/cron.hourly")
        assert (second.user, second.command, second.cron) == ("www-data", "/x y", "@daily")

    @pytest.mark.parametrize(
        ("line", "user_column", "problem"),
        [
            ("* * * * *", False, "has no command behind its five fields"),
            ("* * *", False, "has no command behind its five fields"),
            ("@daily", False, "has no command behind its name"),
            ("* * * * * root", True, "has no user and command behind its times"),
            ("@daily root", True, "has no user and command behind its times"),
        ],
    )
    def test_says_what_is_missing(self, line: str, user_column: bool, problem: str) -> None:
        assert list(read_crontab(line, user_column=user_column)) == [Unreadable(number=1, problem=problem)]

    @pytest.mark.parametrize("text", ["# ", " ", "a", '"', "A='", "* ", "\\%", "@a "])
    def test_reads_long_lines_in_no_time(self, text: str) -> None:
        lines = [start + text * (300_000 // len(text)) + "x" for start in ("#", "", "* * * * * ")]
        began = process_time()
        for user_column in (False, True):
            list(read_crontab("\n".join([*lines, "* * * * * job"]), user_column=user_column))
        assert process_time() - began < 0.5

    @given(st.text(max_size=200), st.booleans())
    def test_reads_any_text(self, text: str, user_column: bool) -> None:
        for line in read_crontab(text, user_column=user_column):
            assert 1 <= line.number <= text.count("\n") + 1


class TestSplitInput:
    """crontab(5), and what cron does beyond it: a backslash takes the next sign of the command with it."""

    @pytest.mark.parametrize(
        ("line", "command", "given"),
        [
            ("date", "date", None),
            (r"date +\%F", "date +%F", None),
            (r"date +\%F\%T", "date +%F%T", None),
            ("cat%a%b", "cat", "a\nb\n"),
            ("cat %a%b%", "cat", "a\nb\n"),
            ("cat%", "cat", ""),
            (r"cat%100\%%b", "cat", "100%\nb\n"),
            (r"printf '\n'", r"printf '\n'", None),
            (r"echo \\%x", r"echo \\", "x\n"),
            (r"cat%a\b%\\", "cat", "a\\b\n\\\\\n"),
        ],
    )
    def test_divides(self, line: str, command: str, given: str | None) -> None:
        assert split_input(line) == (command, given)


class TestHostZone:
    def test_is_where_localtime_leads(self, tmp_path: Path) -> None:
        zones = tmp_path / "zoneinfo" / "Europe"
        zones.mkdir(parents=True)
        (zones / "Berlin").touch()
        (tmp_path / "localtime").symlink_to(zones / "Berlin")
        assert host_zone(tmp_path / "localtime", tmp_path / "none") == "Europe/Berlin"

    def test_is_what_debian_writes(self, tmp_path: Path) -> None:
        (tmp_path / "timezone").write_text("America/New_York\n")
        assert host_zone(tmp_path / "none", tmp_path / "timezone") == "America/New_York"

    def test_may_be_unknown(self, tmp_path: Path) -> None:
        (tmp_path / "localtime").touch()
        (tmp_path / "timezone").write_text("nowhere")
        assert host_zone(tmp_path / "localtime", tmp_path / "timezone") is None
