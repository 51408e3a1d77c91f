"""``importcrontab``: jobs become schedules that do what cron did, all or none, and once however often it is run."""

from __future__ import annotations

import io
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from access_app.models import AuditEvent
from schedules_app.management.commands import importcrontab
from schedules_app.models import Schedule
from tasks_app.executors.shell_payload import argv_of

pytestmark = pytest.mark.django_db

GOOD = """\
# m h  dom mon dow   command
MAILTO=ops@example.com
PATH=/usr/local/bin:/usr/bin:/bin

# What finance reads.
30 2 * * 1-5  /usr/local/bin/report --full
*/10 * * * *  sync-mail
0 9 * * *     sync-mail
@weekly       rotate
"""


@pytest.fixture
def crontab(tmp_path: Path) -> Any:
    def write(text: str) -> str:
        path = tmp_path / "crontab"
        path.write_text(text)
        return str(path)

    return write


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("importcrontab", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def refused(*arguments: str) -> tuple[int, str, str]:
    """Exit status, message, report."""
    out = io.StringIO()
    with pytest.raises(CommandError) as error:
        call_command("importcrontab", *arguments, stdout=out, stderr=out)
    assert not Schedule.objects.exists()
    return error.value.returncode, str(error.value), out.getvalue()


def output_of(schedule: Schedule, **environment: str) -> str:
    """What its command prints: run as the shell of a SHELL task is, without an input of its own."""
    payload = schedule.task["payload"]
    environ = {"PATH": "/usr/bin:/bin"} | payload.get("environment", {}) | environment
    done = subprocess.run(
        argv_of(payload), stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environ, check=False, timeout=20
    )
    assert not done.stderr
    return done.stdout


class TestImport:
    def test_makes_a_schedule_of_each_job(self, crontab: Any) -> None:
        report = run(crontab(GOOD), "--timezone", "Europe/Berlin").splitlines()
        daily = Schedule.objects.get(cron="30 2 * * 1-5")
        assert (daily.timezone, daily.description, daily.enabled) == ("Europe/Berlin", "What finance reads.", True)
        assert (daily.created_by, daily.overlap, daily.misfire_policy) == ("command:importcrontab", "skip", "run_once")
        assert daily.next_fire_at is not None
        assert daily.next_fire_at > datetime.now(UTC)
        assert daily.task == {
            "type": "SHELL",
            "payload": {
                "command": "/usr/local/bin/report --full",
                "environment": {"PATH": "/usr/local/bin:/usr/bin:/bin"},
            },
            "maxRetries": 0,
            "queue": "default",
            "priority": 0,
            "timeoutMs": 86_400_000,
            "slots": 1,
            "taskToken": False,
            "approval": None,
            "correlationId": None,
            "concurrencyKey": None,
            "uniqueKey": None,
            "requiredLabels": None,
            "fairKey": None,
            "retry": None,
            "onWorkerLost": "fail",
        }
        assert [line.split()[:3] for line in report[:-1]] == [
            ["line", "2", "ignored"],
            ["line", "3", "set"],
            *(["line", str(number), "created"] for number in (6, 7, 8, 9)),
        ]
        assert daily.name in report[2]
        assert "next " in report[2]
        assert report[-1] == "4 created, 0 unchanged; times on the clock of Europe/Berlin"
        events = AuditEvent.objects.filter(action="schedule.created").values_list("actor", "target")
        assert set(events) == {("command:importcrontab", f"schedule:{each.name}") for each in Schedule.objects.all()}

    def test_changes_nothing_the_second_time(self, crontab: Any) -> None:
        file = crontab(GOOD)
        run(file, "--timezone", "UTC")
        before = list(Schedule.objects.order_by("name").values())
        report = run(file, "--timezone", "UTC")
        assert report.count("unchanged  crontab-") == 4
        assert report.endswith("0 created, 4 unchanged; times on the clock of UTC\n")
        assert list(Schedule.objects.order_by("name").values()) == before

    def test_takes_new_lines_of_a_file_it_knows(self, crontab: Any) -> None:
        run(crontab(GOOD), "--timezone", "UTC")
        report = run(crontab("PATH=/usr/local/bin:/usr/bin:/bin\n0 4 * * * new\n" + GOOD), "--timezone", "UTC")
        assert report.endswith("1 created, 4 unchanged; times on the clock of UTC\n")

    def test_leaves_alone_what_people_changed_but_for_the_times(self, crontab: Any) -> None:
        file = crontab("0 4 * * * job")
        run(file, "--timezone", "UTC")
        Schedule.objects.update(overlap="allow", description="mine", enabled=False, next_slot=None, next_fire_at=None)
        assert "unchanged" in run(file, "--timezone", "UTC")

    @pytest.mark.parametrize(
        ("text", "zone", "differs"),
        [
            ("0 5 * * * job", "UTC", "other times"),
            ("0 4 * * * job", "Europe/Berlin", "another time zone"),
            ("A=b\n0 4 * * * job", "UTC", "another task"),
        ],
    )
    def test_refuses_a_command_it_knows_with_other_times(
        self, crontab: Any, text: str, zone: str, differs: str
    ) -> None:
        run(crontab("0 4 * * * job"), "--timezone", "UTC")
        before = Schedule.objects.values().get()
        out = io.StringIO()
        with pytest.raises(CommandError, match="refused lines"):
            call_command("importcrontab", crontab(text), "--timezone", zone, stdout=out)
        assert f"exists with {differs}: edit or delete it" in out.getvalue()
        assert Schedule.objects.values().get() == before

    def test_stores_nothing_in_a_dry_run(self, crontab: Any) -> None:
        report = run(crontab(GOOD), "--timezone", "UTC", "--dry-run")
        assert report.count("would be created  crontab-") == 4
        assert "next " in report
        assert report.endswith("4 would be created, 0 unchanged; times on the clock of UTC\n")
        assert not Schedule.objects.exists()
        assert not AuditEvent.objects.exists()

    def test_reads_standard_input(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"0 4 * * * job\n")))
        run("-", "--timezone", "UTC")
        assert Schedule.objects.get().cron == "0 4 * * *"

    def test_can_leave_them_switched_off(self, crontab: Any) -> None:
        run(crontab("0 4 * * * job"), "--timezone", "UTC", "--disabled")
        assert not Schedule.objects.get().enabled

    def test_means_this_hosts_clock_if_nothing_is_said(self, crontab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importcrontab, "host_zone", lambda: "Asia/Tokyo")
        assert "times on the clock of Asia/Tokyo" in run(crontab("0 4 * * * job"))
        assert Schedule.objects.get().timezone == "Asia/Tokyo"


class TestWhatACommandGets:
    def test_its_input(self, crontab: Any) -> None:
        run(crontab(r"0 4 * * * cat; echo end \%%one%two \% more%three"), "--timezone", "UTC")
        assert output_of(Schedule.objects.get()) == "one\ntwo % more\nthree\nend %\n"

    @pytest.mark.parametrize("given", ["INPUT", "a%INPUT%INPUT_%b", "$HOME `x` \\\\", ""])
    def test_its_input_as_it_stands(self, crontab: Any, given: str) -> None:
        run(crontab(f"0 4 * * * cat # a comment%{given}"), "--timezone", "UTC")
        lines = [*given.split("%")] if given else []
        assert output_of(Schedule.objects.get()) == "".join(f"{line}\n" for line in lines)

    def test_its_variables_its_shell_and_its_folder(self, crontab: Any, tmp_path: Path) -> None:
        run(crontab(f"SHELL=/bin/bash\nHOME={tmp_path}\nA=$PATH\n0 4 * * * echo $BASH $HOME $A"), "--timezone", "UTC")
        schedule = Schedule.objects.get()
        assert schedule.task["payload"]["workingDirectory"] == str(tmp_path)
        assert output_of(schedule) == f"/bin/bash {tmp_path} $PATH\n"

    def test_cron_tz_and_random_delay(self, crontab: Any) -> None:
        run(crontab("0 1 * * * a\nCRON_TZ=Asia/Tokyo\nRANDOM_DELAY=15\n0 2 * * * b"), "--timezone", "UTC")
        found = Schedule.objects.order_by("cron").values_list("timezone", "jitter_seconds")
        assert list(found) == [("UTC", 0), ("Asia/Tokyo", 900)]
        assert all("environment" not in each.task["payload"] for each in Schedule.objects.all())

    def test_either_of_two_days_as_in_cron(self, crontab: Any) -> None:
        run(crontab("0 4 13 * 5 job"), "--timezone", "UTC")
        assert Schedule.objects.get().cron == "0 4 13 * 5"  # what that means: tests/unit/schedules/test_recurrence.py


class TestUsers:
    SYSTEM = "17 * * * * root run-parts /etc/cron.hourly\n25 6 * * * www-data clean\n"

    def test_others_are_refused(self, crontab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importcrontab, "_account", lambda: "root")
        status, message, report = refused(crontab(self.SYSTEM), "--user-column", "--timezone", "UTC")
        assert (status, message) == (1, "nothing was stored: refused lines 2")
        assert "runs as www-data" in report
        assert "--any-user" in report
        assert "line   1  not stored" in report

    def test_others_are_taken_when_that_is_meant(self, crontab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importcrontab, "_account", lambda: "root")
        run(crontab(self.SYSTEM), "--user-column", "--any-user", "--timezone", "UTC")
        clean = Schedule.objects.get(cron="25 6 * * *")
        assert clean.task["payload"]["command"] == "clean"
        assert clean.description == "In the crontab it ran as www-data."

    def test_a_column_that_was_not_asked_for_is_noticed(self, crontab: Any) -> None:
        status, _, report = refused(crontab("17 * * * * root run-parts /etc/cron.hourly"), "--timezone", "UTC")
        assert status == 1
        assert "begins with the account root: give --user-column, or the command with its whole path" in report

    def test_a_program_with_the_name_of_an_account_is_a_program(self, crontab: Any) -> None:
        run(crontab("0 4 * * * mail -s hello root\n0 5 * * * job --once\n"), "--timezone", "UTC")
        assert Schedule.objects.count() == 2

    @pytest.mark.parametrize("file", ["/etc/crontab", "/etc/cron.d/php"])
    def test_a_file_that_has_one_needs_the_option(
        self, file: str, monkeypatch: pytest.MonkeyPatch, crontab: Any
    ) -> None:
        monkeypatch.setattr(importcrontab, "_bytes", lambda path: b"0 4 * * * root job\n")
        assert refused(file, "--timezone", "UTC")[:2] == (
            2,
            f"{file} names a user in each line: give --user-column",
        )


class TestRefusals:
    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ("@reboot job", "cron must not be @reboot, which is no time"),
            ("@dailly job", "did you mean @daily?"),
            ("*/90 * * * * job", "use intervalSeconds: 5400"),
            ("0 22-2 * * * job", "cron has 22-2"),
            ("0 0 30 2 * job", "never fires: February has no 30th"),
            ("60 * * * * job", "must be from 0 to 59"),
            ("0 4 * * *", "has no command behind its five fields"),
            ("0 4 * * * %input", "has no command before its %"),
            ("SHELL=/usr/bin/fish\n0 4 * * * job%input", "/usr/bin/fish is not asked to read"),
            ("CRON_TZ=europe/berlin\n0 4 * * * job", "did you mean Europe/Berlin?"),
            ("HOME=work\n0 4 * * * job", "workingDirectory must be an absolute path"),
            ("RANDOM_DELAY=soon\n0 4 * * * job", "RANDOM_DELAY that is no number"),
        ],
    )
    def test_name_the_line_and_the_way_out(self, crontab: Any, line: str, says: str) -> None:
        number = line.count("\n") + 2
        status, message, report = refused(crontab(f"0 4 * * * good\n{line}\n"), "--timezone", "UTC")
        assert (status, message) == (1, f"nothing was stored: refused lines {number}")
        assert says in report
        assert f"line {number:>3}  refused" in report
        assert "line   1  not stored" in report

    def test_a_report_drives_no_terminal(self, crontab: Any) -> None:
        report = run(crontab("MAILTO=\x1b[31m\n0 4 * * * job\n"), "--timezone", "UTC")
        assert "\x1b" not in report
        assert "\\x1b[31m" in report

    @pytest.mark.parametrize(
        ("content", "options", "says"),
        [
            (None, (), "FILE: "),
            (b"0 4 * * * job\n0 5 * * * \xff\n", (), "FILE: line 2 is not UTF-8"),
            (b"#" * (1024 * 1024 + 1), (), "FILE: must not be larger"),
            (b"* * * * * job\n" * 1001, (), "FILE: must not hold more than 1000 jobs"),
            (b"0 4 * * * job", ("--timezone", "berlin"), "--timezone: 'berlin' is not an IANA time zone: did you mean"),
        ],
    )
    def test_wrong_use_is_status_2(
        self, tmp_path: Path, content: bytes | None, options: tuple[str, ...], says: str
    ) -> None:
        if content is not None:
            (tmp_path / "crontab").write_bytes(content)
        status, message, _ = refused(str(tmp_path / "crontab"), *(options or ("--timezone", "UTC")))
        assert status == 2
        assert says in message

    def test_a_host_without_a_zone_is_asked_for_one(self, crontab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importcrontab, "host_zone", lambda: None)
        status, message, _ = refused(crontab("0 4 * * * job"))
        assert status == 2
        assert message.startswith("--timezone: ")


def test_help_says_what_it_does_and_its_statuses() -> None:
    text = " ".join(importcrontab.Command().create_parser("manage.py", "importcrontab").format_help().split())
    for words in (
        "Make a schedule of each job in a crontab.",
        "as `crontab -l` prints it; - reads standard input",
        "All jobs are stored or, when one is refused, none.",
        "Reading the same file again changes nothing.",
        "0 done, 1 refused, 2 wrong use",
        "say what would be done, and store nothing",
    ):
        assert words in text
