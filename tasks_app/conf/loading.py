"""Reading all settings at once, and which of them do not go together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from typing import Any

from tasks_app.conf.knobs import Config
from tasks_app.conf.values import Profile, Sandbox


class ConfigErrors(ValueError):
    """Settings that cannot be used. ``problems`` maps a variable's name to what is wrong with it."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("\n".join(f"{name}: {text}" for name, text in problems.items()))
        self.problems = dict(problems)


def load(environ: Mapping[str, str]) -> Config:
    """Parse every knob; an empty value counts as absent. Raises `ConfigErrors` naming each bad variable."""
    values: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for knob in fields(Config):
        name, parse = knob.metadata["env"], knob.metadata["parse"]
        default = knob.metadata["by_profile"].get(values.get("profile", Profile.DEV), knob.metadata["default"])
        try:
            values[knob.name] = parse(environ.get(name) or default)
        except ValueError as error:
            problems[name] = str(error)
            values[knob.name] = parse(default)
    config = Config(**values)
    problems = _combinations(config) | problems
    if problems:
        raise ConfigErrors(problems)
    return config


def _combinations(config: Config) -> dict[str, str]:
    """Values that are each fine but not together."""
    problems: dict[str, str] = {}
    usable = config.heartbeat_timeout - config.lease_margin
    if config.heartbeat_interval > usable * 3 / 4:
        problems["WORKER_HEARTBEAT_INTERVAL_MS"] = (
            "must not be above three quarters of WORKER_HEARTBEAT_TIMEOUT_MS less its margin "
            f"({usable * 3 / 4 / timedelta(milliseconds=1):g} ms): a beat needs time to arrive"
        )
    if config.shell_allowed_environment and not config.shell_allowed_commands:
        problems["SHELL_ALLOWED_ENVIRONMENT"] = (
            "must be set together with SHELL_ALLOWED_COMMANDS: without that a command sets what it likes"
        )
    if config.shell_writable_paths and config.shell_sandbox in (Sandbox.NONE, Sandbox.LIMITS):
        problems["SHELL_WRITABLE_PATHS"] = (
            "must be set together with SHELL_SANDBOX=landlock or bwrap: the other levels let a task write anywhere"
        )
    if config.retry_base_delay > config.retry_max_delay:
        problems["RETRY_BASE_DELAY_MS"] = "must not be above RETRY_MAX_DELAY_MS"
    return problems
