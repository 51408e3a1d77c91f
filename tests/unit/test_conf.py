"""Every knob: what it takes, what it refuses and how it says so, and what it is when nobody sets it."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest

from tasks_app.conf import Config, ConfigErrors, LogFormat, Profile, Sandbox, load, parse_bool

MS = timedelta(milliseconds=1)
DAY = timedelta(days=1)
KNOBS = {knob.metadata["env"]: knob for knob in fields(Config)}

#: What the contract says each knob is when it is absent.
DEFAULTS: dict[str, Any] = {
    "SCHEDULER_PROFILE": Profile.DEV,
    "SCHEDULER_ENABLED": True,
    "WORKER_ENABLED": True,
    "SCHEDULER_POLLING_INTERVAL_MS": 1000 * MS,
    "WORKER_HEARTBEAT_INTERVAL_MS": 2000 * MS,
    "WORKER_HEARTBEAT_TIMEOUT_MS": 15_000 * MS,
    "WORKER_FAST_DEATH_ENABLED": False,
    "RETRY_DEFAULT_MAX_RETRIES": 3,
    "RETRY_BASE_DELAY_MS": 1000 * MS,
    "RETRY_MAX_DELAY_MS": 300_000 * MS,
    "TASK_MAX_CRASHES": 3,
    "MONITORING_FAILURE_DETECTION_INTERVAL_MS": 2000 * MS,
    "METRICS_COLLECTION_ENABLED": True,
    "RETENTION_SUCCESS_DAYS": 7 * DAY,
    "RETENTION_FAILED_DAYS": 30 * DAY,
    "OUTPUT_STORED_BYTES": 262_144,
    "OUTPUT_AFTER_MS": timedelta(seconds=2),
    "API_KEY_DEFAULT_EXPIRY_DAYS": 365 * DAY,
    "SESSION_HOURS": DAY / 2,
    "LOG_LEVEL": "INFO",
    "LOG_FORMAT": LogFormat.CONSOLE,
    "SHELL_TASKS_ENABLED": True,
    "SHELL_ALLOWED_COMMANDS": (),
    "SHELL_ALLOWED_ENVIRONMENT": (),
    "SHELL_SANDBOX": Sandbox.LIMITS,
    "SHELL_WRITABLE_PATHS": (),
    "SHELL_MAX_MEMORY_MB": 0,
    "SHELL_MAX_FILE_MB": 10_240,
    "HTTP_ALLOWED_PRIVATE_NETWORKS": (ip_network("127.0.0.0/8"), ip_network("::1/128")),
    "TRUSTED_PROXIES": (ip_network("127.0.0.0/8"), ip_network("::1/128")),
    "TASK_EXECUTORS": (),
}

GOOD: dict[str, dict[str, Any]] = {
    "SCHEDULER_PROFILE": {"prod": Profile.PROD, " Test ": Profile.TEST},
    "SCHEDULER_ENABLED": {"0": False, "no": False, "OFF": False, "yes": True, " true ": True},
    "WORKER_ENABLED": {"false": False, "1": True},
    "SCHEDULER_POLLING_INTERVAL_MS": {"10": 10 * MS, "5000": 5000 * MS, "3600000": 3_600_000 * MS},
    "WORKER_HEARTBEAT_INTERVAL_MS": {"50": 50 * MS, "6000": 6000 * MS},
    "WORKER_HEARTBEAT_TIMEOUT_MS": {"5000": 5000 * MS, "3600000": 3_600_000 * MS},
    "WORKER_FAST_DEATH_ENABLED": {"true": True, "off": False},
    "RETRY_DEFAULT_MAX_RETRIES": {"0": 0, "1000": 1000},
    "RETRY_BASE_DELAY_MS": {"0": 0 * MS, "300000": 300_000 * MS},
    "RETRY_MAX_DELAY_MS": {"1000": 1000 * MS, "2592000000": 30 * DAY},
    "TASK_MAX_CRASHES": {"1": 1, "1000": 1000},
    "MONITORING_FAILURE_DETECTION_INTERVAL_MS": {"50": 50 * MS, "600000": 600_000 * MS},
    "METRICS_COLLECTION_ENABLED": {"off": False},
    "RETENTION_SUCCESS_DAYS": {"0": None, "0.5": DAY / 2, "36500": 36_500 * DAY},
    "RETENTION_FAILED_DAYS": {"0.0": None, "1": DAY},
    "OUTPUT_STORED_BYTES": {"0": 0, "4096": 4096, "67108864": 67_108_864},
    "OUTPUT_AFTER_MS": {"0": timedelta(0)},
    "API_KEY_DEFAULT_EXPIRY_DAYS": {"0": None, "90": 90 * DAY},
    "SESSION_HOURS": {"1": DAY / 24, "8760": 365 * DAY},
    "LOG_LEVEL": {"debug": "DEBUG", "WARNING": "WARNING"},
    "LOG_FORMAT": {"json": LogFormat.JSON, "Console": LogFormat.CONSOLE},
    "SHELL_TASKS_ENABLED": {"false": False},
    "SHELL_ALLOWED_COMMANDS": {"/bin/echo, /bin/date ,": ("/bin/echo", "/bin/date"), "date": ("date",)},
    "SHELL_SANDBOX": {"none": Sandbox.NONE, "Landlock": Sandbox.LANDLOCK, "bwrap": Sandbox.BWRAP},
    "SHELL_WRITABLE_PATHS": {"/srv/a, /var/b c": ("/srv/a", "/var/b c")},
    "SHELL_MAX_MEMORY_MB": {"512": 512, "1073741824": 2**30},
    "SHELL_MAX_FILE_MB": {"0": 0, "1": 1},
    "SHELL_ALLOWED_ENVIRONMENT": {"REGION, dry_run,": ("REGION", "dry_run"), "PATHS,X_LD_A": ("PATHS", "X_LD_A")},
    "HTTP_ALLOWED_PRIVATE_NETWORKS": {"10.0.0.0/8,fd00::/8": (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))},
    "TRUSTED_PROXIES": {
        "none": (),
        " None ": (),
        "10.1.2.3,fd00::/8": (ip_network("10.1.2.3"), ip_network("fd00::/8")),
    },
    "TASK_EXECUTORS": {"a.B,c.D": ("a.B", "c.D")},
}

NOT_WHOLE = ("x", "1.5", "1e3", "-1", "99999999999999", "nan", "0x10", "1 000", "\N{ARABIC-INDIC DIGIT THREE}000")
BAD: dict[str, tuple[str, ...]] = {
    "SCHEDULER_PROFILE": ("production", "0"),
    "SCHEDULER_ENABLED": ("maybe", "2"),
    "WORKER_ENABLED": ("ja",),
    "SCHEDULER_POLLING_INTERVAL_MS": (*NOT_WHOLE, "0", "9", "3600001"),
    "WORKER_HEARTBEAT_INTERVAL_MS": (*NOT_WHOLE, "0", "49", "600001"),
    "WORKER_HEARTBEAT_TIMEOUT_MS": (*NOT_WHOLE, "0", "2499", "3600001"),
    "WORKER_FAST_DEATH_ENABLED": ("soon",),
    "RETRY_DEFAULT_MAX_RETRIES": (*NOT_WHOLE, "1001"),
    "RETRY_BASE_DELAY_MS": (*NOT_WHOLE, "86400001"),
    "RETRY_MAX_DELAY_MS": (*NOT_WHOLE, "2592000001"),
    "TASK_MAX_CRASHES": (*NOT_WHOLE, "0", "1001"),
    "MONITORING_FAILURE_DETECTION_INTERVAL_MS": (*NOT_WHOLE, "49", "600001"),
    "METRICS_COLLECTION_ENABLED": ("?",),
    "RETENTION_SUCCESS_DAYS": ("x", "-1", "nan", "inf", "36501", "1e9"),
    "RETENTION_FAILED_DAYS": ("x", "-0.1", "-inf"),
    "OUTPUT_STORED_BYTES": ("x", "-1", "1", "4095", "67108865"),
    "OUTPUT_AFTER_MS": ("x", "-1", "86400001"),
    "API_KEY_DEFAULT_EXPIRY_DAYS": ("x", "-1", "36501"),
    "SESSION_HOURS": ("x", "0", "-1", "1.5", "8761"),
    "LOG_LEVEL": ("LOUD", "10"),
    "LOG_FORMAT": ("xml",),
    "SHELL_TASKS_ENABLED": ("sometimes",),
    "SHELL_ALLOWED_COMMANDS": ("./job", "bin/job", "../job"),
    "SHELL_SANDBOX": ("docker", "1", "true"),
    "SHELL_WRITABLE_PATHS": ("srv", "./srv", "~/x", "/", "//"),
    "SHELL_MAX_MEMORY_MB": NOT_WHOLE,
    "SHELL_MAX_FILE_MB": NOT_WHOLE,
    "SHELL_ALLOWED_ENVIRONMENT": ("A=B", "1A", "A B", "PATH", "LD_PRELOAD", "DYLD_INSERT_LIBRARIES", "GCONV_PATH"),
    "HTTP_ALLOWED_PRIVATE_NETWORKS": ("10.0.0.1/8", "localhost", "10.0.0.0/33", "fd00::/8;::1"),
    "TRUSTED_PROXIES": ("10.0.0.1/8", "proxy.internal", "10.0.0.0/33", "*"),
    "TASK_EXECUTORS": (),
}

#: What a variable cannot be set without.
BESIDE = {
    "SHELL_ALLOWED_ENVIRONMENT": {"SHELL_ALLOWED_COMMANDS": "date"},
    "SHELL_WRITABLE_PATHS": {"SHELL_SANDBOX": "landlock"},
}


def value(config: Config, env: str) -> Any:
    return getattr(config, KNOBS[env].name)


def problems(**environ: str) -> dict[str, str]:
    with pytest.raises(ConfigErrors) as raised:
        load(environ)
    return raised.value.problems


class TestKnobs:
    def test_are_all_tested_here(self) -> None:
        assert set(KNOBS) == set(DEFAULTS) == set(GOOD) == set(BAD)

    def test_each_say_why_they_exist(self) -> None:
        assert all(len(knob.metadata["why"]) > 15 for knob in KNOBS.values())


class TestLoad:
    @pytest.mark.parametrize("env", KNOBS)
    def test_falls_back_to_the_default_when_absent_or_empty(self, env: str) -> None:
        assert value(load({}), env) == value(load({env: ""}), env) == DEFAULTS[env]

    @pytest.mark.parametrize(
        ("env", "text", "parsed"), [(e, t, p) for e, texts in GOOD.items() for t, p in texts.items()]
    )
    def test_takes(self, env: str, text: str, parsed: Any) -> None:
        assert value(load({env: text, **BESIDE.get(env, {})}), env) == parsed

    @pytest.mark.parametrize(("env", "text"), [(env, text) for env, texts in BAD.items() for text in texts])
    def test_refuses_and_names_the_variable_and_the_value(self, env: str, text: str) -> None:
        found = problems(**{env: text, **BESIDE.get(env, {})})
        assert list(found) == [env]
        assert text.split("/")[0].split(";")[0] in found[env]
        assert found[env].startswith("must be ")

    def test_names_every_bad_variable_at_once(self) -> None:
        bad = {env: texts[0] for env, texts in BAD.items() if texts}
        assert set(problems(**bad)) == set(bad)

    def test_prints_one_line_for_each(self) -> None:
        with pytest.raises(ConfigErrors) as raised:
            load({"LOG_LEVEL": "LOUD", "TASK_MAX_CRASHES": "0"})
        assert [line.split(":")[0] for line in str(raised.value).splitlines()] == ["TASK_MAX_CRASHES", "LOG_LEVEL"]

    def test_ignores_variables_of_others(self) -> None:
        assert load({"PATH": "/bin", "SCHEDULER_UNKNOWN": "x"}) == load({})

    @pytest.mark.parametrize(
        ("env", "in_prod"),
        [("LOG_FORMAT", LogFormat.JSON), ("SHELL_TASKS_ENABLED", False), ("HTTP_ALLOWED_PRIVATE_NETWORKS", ())],
    )
    def test_is_stricter_in_the_prod_profile(self, env: str, in_prod: Any) -> None:
        assert value(load({"SCHEDULER_PROFILE": "prod"}), env) == in_prod
        assert value(load({"SCHEDULER_PROFILE": "test"}), env) == DEFAULTS[env]
        chosen = next(iter(GOOD[env]))
        assert value(load({"SCHEDULER_PROFILE": "prod", env: chosen}), env) == GOOD[env][chosen]


class TestCombinations:
    def test_leave_a_beat_time_to_arrive_within_a_lease_less_its_margin(self) -> None:
        lease = {"WORKER_HEARTBEAT_TIMEOUT_MS": "10000"}  # usable: 8000
        assert load(lease | {"WORKER_HEARTBEAT_INTERVAL_MS": "6000"})
        assert "6000 ms" in problems(**lease, WORKER_HEARTBEAT_INTERVAL_MS="6001")["WORKER_HEARTBEAT_INTERVAL_MS"]

    def test_take_the_original_systems_defaults(self) -> None:
        """The contract promises it: 5 s polling, 30 s heartbeat, 60 s time-out."""
        config = load({
            "SCHEDULER_POLLING_INTERVAL_MS": "5000",
            "WORKER_HEARTBEAT_INTERVAL_MS": "30000",
            "WORKER_HEARTBEAT_TIMEOUT_MS": "60000",
        })  # fmt: skip
        assert config.heartbeat_timeout == 60_000 * MS

    def test_refuse_a_base_delay_above_the_cap(self) -> None:
        assert list(problems(RETRY_BASE_DELAY_MS="2000", RETRY_MAX_DELAY_MS="1999")) == ["RETRY_BASE_DELAY_MS"]
        assert load({"RETRY_BASE_DELAY_MS": "2000", "RETRY_MAX_DELAY_MS": "2000"})

    def test_refuse_what_has_no_meaning_without_another(self) -> None:
        assert list(problems(SHELL_ALLOWED_ENVIRONMENT="A")) == ["SHELL_ALLOWED_ENVIRONMENT"]
        assert list(problems(SHELL_WRITABLE_PATHS="/srv")) == ["SHELL_WRITABLE_PATHS"]

    def test_do_not_hide_what_is_wrong_with_one_value_by_itself(self) -> None:
        found = problems(WORKER_HEARTBEAT_INTERVAL_MS="soon", WORKER_HEARTBEAT_TIMEOUT_MS="2500")
        assert "soon" in found["WORKER_HEARTBEAT_INTERVAL_MS"]


class TestLeaseMargin:
    @pytest.mark.parametrize(("lease", "margin"), [(60_000, 12_000), (15_000, 3_000), (5_000, 1_000), (2_500, 1_000)])
    def test_is_a_fifth_of_the_lease_and_a_second_at_least(self, lease: int, margin: int) -> None:
        config = load({"WORKER_HEARTBEAT_TIMEOUT_MS": str(lease), "WORKER_HEARTBEAT_INTERVAL_MS": "50"})
        assert config.lease_margin == margin * MS


class TestParseBool:
    @pytest.mark.parametrize("text", ["", "t", "yess", "-1", "None"])
    def test_guesses_nothing(self, text: str) -> None:
        with pytest.raises(ValueError, match="must be true or false"):
            parse_bool(text)
