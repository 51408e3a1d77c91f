"""Runs PostgreSQL's programs as the server's account: initdb and pg_ctl. They share nothing with this process."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from scheduler_project.embedded import folders
from scheduler_project.embedded.binaries import Binaries
from scheduler_project.embedded.location import SUPERUSER, Account, EmbeddedError, Location
from scheduler_project.embedded.postmaster import end_processes_of

READY_TIMEOUT = 120  # seconds a start may take: crash recovery on a slow disk is the slow case
# Written once into postgresql.conf, for people to change; what must not be changed is given at every start instead.
DEFAULTS = """
# Task scheduler: sensible for development; yours to change.
max_connections = 200
shared_buffers = 128MB
timezone = 'UTC'
log_timezone = 'UTC'
log_checkpoints = off
"""
# Of the starter's environment no more than this: processes of the server's account can read it, secrets included.
ENVIRONMENT = ("PATH", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


def make_data(binaries: Binaries, location: Location, *, durable: bool) -> None:
    """Run initdb beside the data folder and move its work in place: it writes PG_VERSION first, long before its end."""
    target = location.data_dir
    if target.exists() and any(target.iterdir()):
        raise EmbeddedError(f"{target} is neither empty nor the data of a PostgreSQL server")
    for old in folders.scratches(beside=target):  # whoever made it was killed; its initdb may still be at work
        end_processes_of(old)
        shutil.rmtree(old)
    new = folders.make_scratch(target, location.account)
    text = ["--encoding=UTF8", "--locale=C"]
    if binaries.major >= 17:
        text += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    access = [f"--username={SUPERUSER}", "--auth-local=trust", "--auth-host=reject"]
    sync = [] if durable else ["--no-sync"]
    run_as(location.account, binaries.bindir / "initdb", "-D", new, *text, *access, *sync, timeout=300)
    # The server's account writes: root, following names in another's folder, could be led anywhere.
    run_as(location.account, "/bin/sh", "-c", 'printf %s "$1" >>"$0"', new / "postgresql.conf", DEFAULTS, timeout=10)
    new.rename(target)


def start_postmaster(binaries: Binaries, location: Location, *, log: Path, options: Mapping[str, str]) -> None:
    """Start the postmaster, which becomes no child of ours, and wait until it takes connections."""
    given = shlex.join(part for name, value in options.items() for part in ("-c", f"{name}={value}"))
    wait = ["-s", "-w", "-t", str(READY_TIMEOUT)]
    where: list[Path | str] = ["-D", location.data_dir, "-l", log, "-o", given]
    run_as(location.account, binaries.bindir / "pg_ctl", "start", *wait, *where, timeout=READY_TIMEOUT + 10)


def run_as(account: Account, program: Path | str, *arguments: Path | str, timeout: float) -> None:
    """Run a program to its end in a session of its own, out of reach of the terminal's Ctrl-C."""
    own = account.uid == os.geteuid()
    # Not a pipe: the server would inherit it, and reading to its end would last as long as the server lives.
    with tempfile.TemporaryFile() as output:
        try:
            code = subprocess.run(
                [program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                # On macOS the server refuses to start without a locale.
                env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ} | {"LC_ALL": "C"},
                start_new_session=True,
                timeout=timeout,
                check=False,
                user=None if own else account.uid,
                group=None if own else account.gid,
                extra_groups=None if own else [],
            ).returncode
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EmbeddedError(f"{program}: {error}") from None
        output.seek(0)
        if code:
            said = output.read().decode(errors="replace").strip()
            raise EmbeddedError(f"{Path(program).name} failed with status {code}: {said}")
