"""``importcrontab FILE``: the lines of a crontab as schedules, with a report line by line."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from typing import Any, Final

from django.core.management.base import CommandError

from access_app.management.base import ProjectCommand
from access_app.texts import escaped
from schedules_app.crontab_import import MAX_JOBS, Outcome, ReportLine, TooManyJobs, Wish, import_crontab
from schedules_app.host_zone import host_zone
from schedules_app.services import NameTaken
from schedules_app.zones import UnknownZone, Zone, zone

MAX_BYTES: Final = 1024 * 1024
#: Files of these have a user column.
_SYSTEM: Final = ("/etc/crontab", "/etc/cron.d/")
_LONGEST_TEXT: Final = 160


class Command(ProjectCommand):
    help = (
        "Make a schedule of each job in a crontab. It runs the command as a SHELL task, once, without retries and for"
        " up to a day, as cron does; a time that comes while the last run goes on is skipped. Variables above a job are"
        " set for it. All jobs are stored or, when one is refused, none. Reading the same file again changes nothing."
        " Exit status: 0 done, 1 refused, 2 wrong use."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", help="a crontab, as `crontab -l` prints it; - reads standard input")
        parser.add_argument(
            "--user-column", action="store_true", help="each line names a user, as in /etc/crontab and /etc/cron.d"
        )
        parser.add_argument(
            "--any-user",
            action="store_true",
            help="take lines of other users too: their commands run as the account of the workers",
        )
        parser.add_argument(
            "--timezone", metavar="Z", help="whose clock the times are on; without it, this host's. CRON_TZ goes before"
        )
        parser.add_argument("--disabled", action="store_true", help="create the schedules switched off")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and store nothing")

    def handle(self, *, file: str, dry_run: bool, **options: Any) -> None:
        text, wish = _read(file), _wish(file, options)
        self.require_migrations()
        try:
            report = import_crontab(text, wish, actor="command:importcrontab", dry_run=dry_run)
        except NameTaken:
            text = "nothing was stored: somebody has just made one of these schedules; try again"
            raise CommandError(text) from None
        except TooManyJobs:
            raise CommandError(f"FILE: must not hold more than {MAX_JOBS} jobs", returncode=2) from None
        clock = zone(wish.timezone)
        for each in report:
            self.stdout.write(_line(each, clock, dry_run=dry_run))
        counts = Counter(each.outcome for each in report)
        if counts[Outcome.REFUSED]:
            numbers = ", ".join(str(each.number) for each in report if each.outcome is Outcome.REFUSED)
            raise CommandError(f"nothing was stored: refused lines {numbers}")
        done = "would be created" if dry_run else "created"
        numbers = f"{counts[Outcome.CREATED]} {done}, {counts[Outcome.UNCHANGED]} unchanged"
        self.stdout.write(f"{numbers}; times on the clock of {clock.name}")


def _read(file: str) -> str:
    try:
        content = sys.stdin.buffer.read(MAX_BYTES + 1) if file == "-" else _bytes(Path(file))
        text = content.decode()
    except OSError as error:
        raise CommandError(f"FILE: {file}: {error.strerror}", returncode=2) from None
    except UnicodeDecodeError as error:
        number = error.object[: error.start].count(b"\n") + 1
        raise CommandError(f"FILE: line {number} is not UTF-8", returncode=2) from None
    if len(content) > MAX_BYTES:
        raise CommandError(f"FILE: must not be larger than {MAX_BYTES} bytes", returncode=2)
    return text


def _bytes(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(MAX_BYTES + 1)


def _wish(file: str, options: dict[str, Any]) -> Wish:
    user_column = options["user_column"]
    if not user_column and str(Path(file).absolute()).startswith(_SYSTEM):
        raise CommandError(f"{file} names a user in each line: give --user-column", returncode=2)
    name = options["timezone"] or host_zone()
    if name is None:
        raise CommandError("--timezone: this host does not say whose clock it is on; give it", returncode=2)
    try:
        zone(name)
    except UnknownZone as error:
        raise CommandError(f"--timezone: {error}", returncode=2) from None
    return Wish(
        timezone=name,
        user_column=user_column,
        any_user=options["any_user"],
        reader=_account(),
        enabled=not options["disabled"],
        is_account=_is_account,
    )


def _account() -> str:
    """Who runs this command; on most hosts the workers have the same account."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return ""


def _is_account(word: str) -> bool:
    try:
        pwd.getpwnam(word)
    except (KeyError, ValueError):
        return False
    return shutil.which(word) is None


def _line(line: ReportLine, clock: Zone, *, dry_run: bool) -> str:
    outcome = "would be created" if dry_run and line.outcome is Outcome.CREATED else line.outcome
    text = escaped(line.text)
    parts = [line.name, text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"]
    if line.next_fire_at is not None:
        parts.append(f"next {line.next_fire_at.astimezone(clock.info):%Y-%m-%d %H:%M %Z}")
    return f"line {line.number:>3}  {outcome:<9}  {'  '.join(filter(None, parts))}"
