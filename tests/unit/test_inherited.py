"""Programs get the zone that their starter was started with, although Django sets another one for itself."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.environment_names import ROOT

#: A child of a supervisor, which is what `runall` and `runworker --processes N` start workers by.
PROGRAM = """
import django
from django.conf import settings
settings.SCHEDULER
from workers_app.processes.supervisor import Child, Supervisor
with Supervisor([Child("zone", ["sh", "-c", "echo ${TZ-none}"], grace=5, may_finish=True)]) as supervisor:
    supervisor.run()
"""


class TestEnvironment:
    @pytest.mark.parametrize("zone", ["Europe/Berlin", ":UTC", "", None])
    def test_has_the_zone_of_the_start(self, zone: str | None) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "TZ"}
        environment |= {
            "DJANGO_SETTINGS_MODULE": "scheduler_project.settings",
            **({} if zone is None else {"TZ": zone}),
        }
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.stdout == ("none\n" if zone is None else f"{zone}\n"), done.stderr
