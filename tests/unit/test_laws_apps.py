"""The law of standing alone: every app works on those below it, in a Django project that has none above.

Each in a process of its own with settings of its own: what is imported here already would hide what is missing there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, Final

import pytest

from tests.support.product import APPS, ROOT

SCRIPT: Final = """
import importlib, json, pkgutil, sys
import django
from django.conf import settings

apps = sys.argv[1:]
django_apps = ["admin", "auth", "contenttypes", "sessions", "messages", "postgres"]
settings.configure(
    INSTALLED_APPS=["unfold", *(f"django.contrib.{name}" for name in django_apps), "rest_framework", *apps],
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "none"}},
    SECRET_KEY="x",
    USE_TZ=True,
)
if "tasks_app" in apps:
    from tasks_app import conf

    settings.SCHEDULER = conf.load({})
django.setup()
for app in apps:
    for module in pkgutil.walk_packages(importlib.import_module(app).__path__, f"{app}."):
        importlib.import_module(module.name)

from django.core.checks import run_checks
from django.db.migrations.loader import MigrationLoader
from django.urls import resolve

found = {
    "problems": [str(problem) for problem in run_checks(tags=["models"], databases=[])],
    "migrated": sorted({app for app, _ in MigrationLoader(None).graph.leaf_nodes() if app in apps}),
    "above": sorted({name.split(".")[0] for name in sys.modules} & set(json.loads(sys.stdin.read()))),
}
if "tasks_app" in apps:
    from tasks_app.new_tasks import NewTask, check_task

    found["checked"] = check_task(NewTask(type="DUMMY", payload={"sleepDurationMs": 5}))
    found["route"] = resolve("/tasks", urlconf="tasks_app.api.urls").url_name
print(json.dumps(found))
"""


def started_with(apps: tuple[str, ...]) -> dict[str, Any]:
    """What a project with these apps of ours finds at its start."""
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, *apps],
        input=json.dumps([app for app in APPS if app not in apps]),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


class TestApps:
    @pytest.mark.parametrize("count", range(1, len(APPS)), ids=lambda count: APPS[count - 1])
    def test_stand_on_those_below_them(self, count: int) -> None:
        apps = APPS[:count]
        found = started_with(apps)
        assert (found["problems"], found["above"]) == ([], [])
        assert found["migrated"] == sorted(app for app in apps if (ROOT / app / "migrations").is_dir())
        if "tasks_app" in apps:
            assert (found["route"], found["checked"]) == ("tasks", '{"sleepDurationMs":5}')
