"""The table of settings: environment variable, kind, default and one line why of each. A new one is a field here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tasks_app.conf.values import (
    LogFormat,
    Network,
    Profile,
    Sandbox,
    days,
    folders,
    hours,
    log_level,
    milliseconds,
    networks,
    networks_or_none,
    nothing_or_bytes,
    one_of,
    parse_bool,
    programs,
    variables,
    whole_number,
    words,
)


def _knob(env: str, parse: Callable[[str], Any], default: str, why: str, **by_profile: str) -> Any:
    """A field read from ``env``; ``default`` (or the one of the profile) is written as a person would write it."""
    return field(metadata={"env": env, "parse": parse, "default": default, "why": why, "by_profile": by_profile})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All knobs, parsed. Durations are `timedelta`; the ``_MS`` unit exists in the environment only."""

    profile: Profile = _knob(
        "SCHEDULER_PROFILE", one_of(Profile), "dev", "dev, test or prod; prod refuses unsafe settings"
    )
    scheduler_enabled: bool = _knob(
        "SCHEDULER_ENABLED", parse_bool, "true", "false: runall leaves the scheduler out, runscheduler exits 0"
    )
    worker_enabled: bool = _knob(
        "WORKER_ENABLED", parse_bool, "true", "false: runall leaves the worker out, runworker exits 0"
    )
    polling_interval: timedelta = _knob(
        "SCHEDULER_POLLING_INTERVAL_MS",
        milliseconds(10, 3_600_000),
        "1000",
        "longest time a scheduler rests; also what a lost wake-up costs at most",
    )
    heartbeat_interval: timedelta = _knob(
        "WORKER_HEARTBEAT_INTERVAL_MS", milliseconds(50, 600_000), "2000", "time between two beats of an idle worker"
    )
    heartbeat_timeout: timedelta = _knob(
        "WORKER_HEARTBEAT_TIMEOUT_MS",
        milliseconds(2_500, 3_600_000),
        "15000",
        "the lease: a worker without an accepted beat for this long has dropped its work, and is declared dead",
    )
    fast_death_enabled: bool = _knob(
        "WORKER_FAST_DEATH_ENABLED",
        parse_bool,
        "false",
        "true: two missed beats and a closed wake-up connection count as death; only without a network in between",
    )
    default_max_retries: int = _knob(
        "RETRY_DEFAULT_MAX_RETRIES", whole_number(0, 1000), "3", "maxRetries of a task that names none"
    )
    retry_base_delay: timedelta = _knob(
        "RETRY_BASE_DELAY_MS", milliseconds(0, 86_400_000), "1000", "delay before the first retry"
    )
    retry_max_delay: timedelta = _knob(
        "RETRY_MAX_DELAY_MS", milliseconds(0, 2_592_000_000), "300000", "longest delay before a retry"
    )
    max_crashes: int = _knob(
        "TASK_MAX_CRASHES", whole_number(1, 1000), "3", "lost workers after which a task is quarantined"
    )
    failure_detection_interval: timedelta = _knob(
        "MONITORING_FAILURE_DETECTION_INTERVAL_MS",
        milliseconds(50, 600_000),
        "2000",
        "time between two looks for dead workers and their tasks",
    )
    metrics_enabled: bool = _knob(
        "METRICS_COLLECTION_ENABLED", parse_bool, "true", "false: GET /metrics returns 404 and nothing is counted"
    )
    retention_success: timedelta | None = _knob(
        "RETENTION_SUCCESS_DAYS", days, "7", "days SUCCESS and CANCELLED tasks are kept; 0 for ever"
    )
    retention_failed: timedelta | None = _knob(
        "RETENTION_FAILED_DAYS", days, "30", "days FAILED tasks are kept; 0 for ever"
    )
    output_stored: int = _knob(
        "OUTPUT_STORED_BYTES",
        nothing_or_bytes,
        "262144",
        "bytes kept of the beginning, and of the end, of what an attempt writes while it runs; 0: nothing",
    )
    output_after: timedelta = _knob(
        "OUTPUT_AFTER_MS", milliseconds(0, 86_400_000), "2000", "how long an attempt runs before its output is stored"
    )
    log_level: str = _knob("LOG_LEVEL", log_level, "INFO", "lowest level written to stderr")
    log_format: LogFormat = _knob(
        "LOG_FORMAT", one_of(LogFormat), "console", "console for people, json for machines", prod="json"
    )
    shell_tasks_enabled: bool = _knob(
        "SHELL_TASKS_ENABLED", parse_bool, "true", "whether this worker runs SHELL tasks at all", prod="false"
    )
    shell_allowed_commands: tuple[str, ...] = _knob(
        "SHELL_ALLOWED_COMMANDS", programs, "", "when set, only argv tasks whose first element is listed run"
    )
    shell_allowed_environment: tuple[str, ...] = _knob(
        "SHELL_ALLOWED_ENVIRONMENT",
        variables,
        "",
        "with SHELL_ALLOWED_COMMANDS: the names environment may have; any other could turn a listed program",
    )
    shell_sandbox: Sandbox = _knob(
        "SHELL_SANDBOX", one_of(Sandbox), "limits", "how far SHELL tasks are confined: none, limits, landlock or bwrap"
    )
    shell_writable_paths: tuple[str, ...] = _knob(
        "SHELL_WRITABLE_PATHS", folders, "", "with landlock or bwrap: where a task may write beside its own TMPDIR"
    )
    shell_max_memory_mb: int = _knob(
        "SHELL_MAX_MEMORY_MB", whole_number(0, 2**30), "0", "address space of each process of a SHELL task; 0: any"
    )
    shell_max_file_mb: int = _knob(
        "SHELL_MAX_FILE_MB", whole_number(0, 2**30), "10240", "largest file a SHELL task may write; 0: any"
    )
    http_allowed_private_networks: tuple[Network, ...] = _knob(
        "HTTP_ALLOWED_PRIVATE_NETWORKS",
        networks,
        "127.0.0.0/8,::1/128",
        "networks HTTP tasks may reach although they are not public",
        prod="",
    )
    session_lifetime: timedelta = _knob(
        "SESSION_HOURS", hours(1, 8_760), "12", "hours after which somebody who logged in has to do it again"
    )
    api_key_default_expiry: timedelta | None = _knob(
        "API_KEY_DEFAULT_EXPIRY_DAYS", days, "365", "days a new API key is valid when nobody says how long; 0 for ever"
    )
    trusted_proxies: tuple[Network, ...] = _knob(
        "TRUSTED_PROXIES",
        networks_or_none,
        "127.0.0.0/8,::1/128",
        "networks of proxies that are believed about a client's address and about HTTPS",
    )
    executors: tuple[str, ...] = _knob(
        "TASK_EXECUTORS", words, "", "dotted paths of executor classes for further task types"
    )

    @property
    def lease_margin(self) -> timedelta:
        """How long before its lease ends a worker drops its work: a fifth of the lease, at least one second."""
        return max(timedelta(seconds=1), self.heartbeat_timeout / 5)
