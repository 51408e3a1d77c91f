"""``gunicorn scheduler_project.wsgi`` as it is configured: what the environment may say, and what it leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

CHECK = [sys.executable, "-m", "gunicorn", "--check-config", "scheduler_project.wsgi"]
PRINT = [sys.executable, "-m", "gunicorn", "--print-config", "scheduler_project.wsgi"]


def run(command: list[str], **environ: str) -> Any:
    return subprocess.run(
        command,
        cwd=settings.BASE_DIR,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value"), [("WEB_WORKERS", "0"), ("WEB_THREADS", "many"), ("PORT", "65536"), ("LOG_LEVEL", "loud")]
)
def test_refuses_a_bad_setting_before_it_starts_anything(name: str, value: str) -> None:
    ended = run(CHECK, **{name: value})
    assert (ended.returncode, ended.stdout) == (2, "")
    [line] = ended.stderr.splitlines()
    assert line.startswith(f"{name}: must be")


def test_takes_address_and_size_from_the_environment(tmp_path: Path) -> None:
    ended = run(PRINT, HOST="::1", PORT="8123", WEB_WORKERS="3", WEB_THREADS="5", TMPDIR=str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    printed = dict(line.split("=", 1) for line in ended.stdout.replace(" ", "").splitlines() if "=" in line)
    wanted = {"workers": "3", "threads": "5", "accesslog": "None", "control_socket_disable": "True"}
    assert printed | wanted == printed
    assert "[::1]:8123" in printed["bind"]
    assert list(tmp_path.iterdir()) == []  # the folder of the request metrics went with the process
