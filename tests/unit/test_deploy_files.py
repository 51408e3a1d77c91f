"""Files that no test can run here (images, compose, units) name what exists, and fit together."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from configparser import RawConfigParser
from typing import Any

import pytest
import yaml
from django.core.management import get_commands, load_command_class
from django.urls import resolve

from scheduler_project import database
from tasks_app import conf
from tests.support.environment_names import ROOT, known_variables

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if name != "db"}
UNITS = {path.name: path for path in sorted((ROOT / "deploy" / "systemd").glob("*.service"))}
#: Variables of the image that are not read by our code but by Python, pip and the shell.
FOREIGN = re.compile(r"PATH|PYTHON[A-Z]+|PIP_[A-Z_]+")
#: What a guardian waits beyond its worker's grace.
GUARDIAN = 5


def instructions() -> list[tuple[str, str]]:
    """The lines of the Dockerfile as (instruction, rest), continued lines joined."""
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE))
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line]  # type: ignore[misc]


DOCKERFILE = instructions()
LAST_STAGE = DOCKERFILE[max(i for i, (name, _) in enumerate(DOCKERFILE) if name == "FROM") :]


def options_of(words: list[str]) -> dict[str, Any]:
    """The options of a `python manage.py …` command line, parsed by that command; fails when it would refuse them."""
    at = words.index("manage.py")
    name, arguments = words[at + 1], words[at + 2 :]
    parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
    return vars(parser.parse_args(arguments))


def seconds(text: str) -> int:
    match = re.fullmatch(r"(\d+)(s|m)?", text)
    assert match is not None
    return int(match[1]) * (60 if match[2] == "m" else 1)


def filled(environment: dict[str, str], **values: str) -> dict[str, str]:
    """Compose's interpolation of ${NAME:-default} and ${NAME:?message}."""

    def fill(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        if name not in values and kind == ":?":
            raise KeyError(name)
        return values.get(name, rest or "")

    return {name: re.sub(r"\$\{(\w+)(:[-?])?([^}]*)\}", fill, str(value)) for name, value in environment.items()}


class TestCompose:
    def test_has_every_process(self) -> None:
        assert list(SERVICES) == ["db", "migrate", "web", "scheduler", "worker"]
        assert {name: SERVICES[name]["deploy"]["replicas"] for name in ("scheduler", "worker")} == {
            "scheduler": 2,
            "worker": 2,
        }

    def test_every_variable_is_one_of_ours(self) -> None:
        named = {name for service in OURS.values() for name in service["environment"]}
        asked = set(re.findall(r"\$\{(\w+)", (ROOT / "compose.yaml").read_text()))
        assert named | asked <= known_variables() | {"WORKER_SECRET_KEY"}

    @pytest.mark.parametrize("name", ["SECRET_KEY", "ALLOWED_HOSTS", "DB_PASSWORD"])
    def test_refuses_to_start_without(self, name: str) -> None:
        given = {"SECRET_KEY": "s", "ALLOWED_HOSTS": "a.example", "DB_PASSWORD": "p"}
        filled(OURS["web"]["environment"], **given)
        with pytest.raises(KeyError, match=name):
            filled(OURS["web"]["environment"], **{key: value for key, value in given.items() if key != name})

    def test_its_settings_are_accepted_and_those_of_prod(self) -> None:
        given = {"WORKER_SECRET_KEY": "s", "ALLOWED_HOSTS": "a.example", "DB_PASSWORD": "p"}
        environment = filled(OURS["worker"]["environment"], **given)
        assert conf.load(environment) == conf.load({"SCHEDULER_PROFILE": "prod"})
        web = filled(OURS["web"]["environment"], SECRET_KEY="s", **given)
        proxies = "127.0.0.0/8,172.16.0.0/12,192.168.0.0/16"
        assert conf.load(web) == conf.load({"SCHEDULER_PROFILE": "prod", "TRUSTED_PROXIES": proxies})

    def test_the_processes_find_the_database(self) -> None:
        password = {"SECRET_KEY": "s", "ALLOWED_HOSTS": "a.example", "DB_PASSWORD": "p@ss/word"}
        server = filled(SERVICES["db"]["environment"], **password)
        django = database.django_database(filled(OURS["web"]["environment"], **password), ROOT)
        assert django["HOST"] == "db"
        assert [django[key] for key in ("NAME", "USER", "PASSWORD")] == [
            server[f"POSTGRES_{key}"] for key in ("DB", "USER", "PASSWORD")
        ]

    @pytest.mark.parametrize("name", [name for name, service in OURS.items() if "command" in service])
    def test_commands_exist_and_take_their_options(self, name: str) -> None:
        assert options_of(OURS[name]["command"])

    @pytest.mark.parametrize("name", OURS)
    def test_every_process_but_the_worker_has_an_init(self, name: str) -> None:
        """An init shows what it was started with to all of its account: to SHELL tasks, in a worker's container."""
        assert OURS[name]["init"] is (name != "worker")

    def test_only_the_web_process_knows_what_it_signs_with(self) -> None:
        given = {"ALLOWED_HOSTS": "a.example", "DB_PASSWORD": "p", "SECRET_KEY": "webs", "WORKER_SECRET_KEY": "others"}
        keys = {name: filled(service["environment"], **given)["SECRET_KEY"] for name, service in OURS.items()}
        assert keys == {"web": "webs", "migrate": "others", "scheduler": "others", "worker": "others"}

    def test_the_migration_runs_once_and_first(self) -> None:
        assert SERVICES["migrate"]["restart"] == "no"
        assert SERVICES["migrate"]["depends_on"] == {"db": {"condition": "service_healthy"}}
        for name in OURS.keys() - {"migrate"}:
            assert SERVICES[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}

    def test_a_worker_is_given_time_to_stop(self) -> None:
        grace = options_of(SERVICES["worker"]["command"])["grace"]
        assert seconds(SERVICES["worker"]["stop_grace_period"]) > grace + GUARDIAN

    def test_a_worker_bounds_the_processes_of_its_commands(self) -> None:
        assert SERVICES["worker"]["pids_limit"] == int(unit("task-scheduler-worker@.service")["TasksMax"]) == 2048

    def test_only_the_web_process_is_asked_for_its_health(self) -> None:
        assert [name for name, service in OURS.items() if "healthcheck" not in service] == ["web"]

    def test_the_web_process_is_published_on_loopback_only(self) -> None:
        assert all(port.startswith("127.0.0.1:") for port in SERVICES["web"]["ports"])
        assert all("ports" not in service for name, service in SERVICES.items() if name != "web")


class TestDockerfile:
    def test_runs_as_an_ordinary_user(self) -> None:
        [user] = [rest for name, rest in LAST_STAGE if name == "USER"]
        uid, _, gid = user.partition(":")
        assert int(uid) > 0
        assert int(gid) > 0
        assert any(f"--uid {uid} --gid {gid}" in rest for name, rest in LAST_STAGE if name == "RUN")

    def test_copies_what_exists_and_is_not_ignored(self) -> None:
        allowed = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
        sources = [
            source
            for name, rest in DOCKERFILE
            if name == "COPY" and not rest.startswith("--from")
            for source in rest.split()[:-1]
        ]
        assert sorted(sources) == sorted(allowed)
        assert [source for source in sources if not (ROOT / source).exists()] == []

    def test_copies_every_package(self) -> None:
        copied = {rest.split()[0] for name, rest in DOCKERFILE if name == "COPY"}
        packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
        assert packages <= copied

    def test_installs_the_locked_requirements_only(self) -> None:
        installs = [rest for name, rest in DOCKERFILE if name == "RUN" and "pip install" in rest]
        assert installs == ["pip install --require-hashes --no-deps -r /tmp/runtime.txt"]

    def test_every_variable_is_known(self) -> None:
        named = {name for kind, rest in DOCKERFILE if kind == "ENV" for name in re.findall(r"(\w+)=", rest)}
        assert {name for name in named if not FOREIGN.fullmatch(name)} <= known_variables()

    def test_stops_on_term_and_needs_no_shell(self) -> None:
        rests = dict(LAST_STAGE)
        assert rests["STOPSIGNAL"] == "SIGTERM"
        assert json.loads(rests["CMD"]) == ["python", "manage.py", "runweb"]
        assert options_of(json.loads(rests["CMD"]))

    def test_its_health_check_asks_for_liveness(self) -> None:
        options, _, command = dict(LAST_STAGE)["HEALTHCHECK"].partition("CMD ")
        python, flag, source = json.loads(command)
        assert (python, flag) == ("python", "-c")
        compile(source, "HEALTHCHECK", "exec")
        [path] = re.findall(r"'(/[a-z/]+)'", source)
        assert resolve(path).url_name == "health-live"
        assert set(re.findall(r"--([a-z-]+)=", options)) == {"interval", "timeout", "start-period", "retries"}

    def test_static_files_are_collected_with_the_settings_given(self) -> None:
        [line] = [rest for name, rest in DOCKERFILE if "collectstatic" in rest]
        words = shlex.split(line)
        given = dict(word.split("=", 1) for word in words[: words.index("python")])
        result = subprocess.run(
            [sys.executable, *words[words.index("manage.py") :], "--dry-run"],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **given},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        assert "static files copied" in result.stdout

    def test_its_python_is_one_the_project_declares(self) -> None:
        images = {rest.split()[0] for name, rest in DOCKERFILE if name == "FROM"}
        assert len(images) == 1
        version = re.fullmatch(r"python:(3\.\d+)-slim", images.pop())
        assert version is not None
        assert f"Python :: {version[1]}" in (ROOT / "pyproject.toml").read_text()


class TestUnits:
    def test_there_is_one_for_each_process(self) -> None:
        assert list(UNITS) == [
            "task-scheduler-scheduler.service",
            "task-scheduler-web.service",
            "task-scheduler-worker@.service",
        ]

    @pytest.mark.parametrize("name", UNITS)
    def test_starts_something_that_exists(self, name: str) -> None:
        words = shlex.split(unit(name)["ExecStart"].replace("%", ""))
        assert options_of(words)

    @pytest.mark.parametrize("name", UNITS)
    def test_is_restarted_unless_a_setting_is_bad_and_never_as_root(self, name: str) -> None:
        service = unit(name)
        assert (service["Restart"], service["RestartPreventExitStatus"]) == ("always", "2")
        assert service["User"] != "root"

    def test_each_has_an_account_and_settings_of_its_own(self) -> None:
        services = [unit(name) for name in UNITS]
        assert len({service["User"] for service in services}) == len(UNITS)
        assert len({service["EnvironmentFile"] for service in services}) == len(UNITS)

    @pytest.mark.parametrize("name", UNITS)
    def test_is_hardened(self, name: str) -> None:
        service = unit(name)
        assert [service[key] for key in ("NoNewPrivileges", "PrivateTmp", "CapabilityBoundingSet", "LimitCORE")] == [
            "yes", "yes", "", "0",
        ]  # fmt: skip
        assert service["ProtectSystem"] == ("full" if "worker" in name else "strict")

    def test_hardening_leaves_a_worker_what_shell_tasks_need(self) -> None:
        service = unit("task-scheduler-worker@.service")
        assert service["OOMPolicy"] == "continue"
        broken_by = """
            ProtectProc ProcSubset ProtectKernelTunables ProtectKernelLogs ProtectClock ProtectHome PrivateDevices
            PrivateUsers PrivateNetwork RestrictNamespaces RestrictAddressFamilies RestrictRealtime SystemCallFilter
            SystemCallArchitectures MemoryDenyWriteExecute LockPersonality ReadOnlyPaths
        """
        assert not set(broken_by.split()) & service.keys()

    @pytest.mark.parametrize("name", UNITS)
    def test_tells_the_main_process_and_kills_only_what_is_left(self, name: str) -> None:
        assert unit(name)["KillMode"] == "mixed"

    def test_a_worker_is_given_time_to_stop(self) -> None:
        service = unit("task-scheduler-worker@.service")
        grace = options_of(shlex.split(service["ExecStart"].replace("%", "")))["grace"]
        assert int(service["TimeoutStopSec"]) > grace + GUARDIAN


def unit(name: str) -> dict[str, str]:
    parser = RawConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNITS[name])
    return dict(parser["Service"])


class TestContinuousIntegration:
    def test_is_a_bash_script_that_can_be_run(self) -> None:
        script = ROOT / ".ci" / "run"
        assert os.access(script, os.X_OK)
        assert subprocess.run(["bash", "-n", script], check=False).returncode == 0

    def test_lints_tries_the_generated_client_then_tests(self) -> None:
        lines = (ROOT / ".ci" / "run").read_text().splitlines()
        assert lines[0] == "#!/usr/bin/env bash"
        assert "set -euo pipefail" in lines
        assert [line for line in lines if line.startswith("make ")] == ["make --jobs=2 lint client", "make test"]
