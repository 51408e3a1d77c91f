"""Which variables are known, what is said of others that look like them, and how they are shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scheduler_project import environment
from scheduler_project.environment import OTHERS, Source, Stranger, known, masked, refused, shown, strangers
from tests.support.environment_names import KNOBS, known_variables


def test_the_table_has_what_is_read_and_nothing_else() -> None:
    assert set(OTHERS) == known_variables() - KNOBS
    assert set(known()) == known_variables()


class TestStrangers:
    @pytest.mark.parametrize(
        ("name", "nearest"),
        [
            ("DATABSE_URL", "DATABASE_URL"),
            ("DATABASE_URI", "DATABASE_URL"),
            ("database_url", "DATABASE_URL"),
            ("DB_USER", "DB_USERNAME"),
            ("DB_HOSTS", "DB_HOST"),
            ("SCHEDULER_POLLING_INTERVAL", "SCHEDULER_POLLING_INTERVAL_MS"),
            ("WORKER_HEARTBEAT_TIMEOUT", "WORKER_HEARTBEAT_TIMEOUT_MS"),
            ("RETENTION_DAYS", "RETENTION_FAILED_DAYS"),
            ("ALLOWED_HOST", "ALLOWED_HOSTS"),
            ("SECRETKEY", "SECRET_KEY"),
            ("SHELL_ALLOWED_COMMAND", "SHELL_ALLOWED_COMMANDS"),
        ],
    )
    def test_are_named_with_the_nearest(self, name: str, nearest: str) -> None:
        [stranger] = strangers({name: "x"})
        assert (stranger.name, stranger.nearest) == (name, nearest)
        assert str(stranger) == f"is not known: did you mean {nearest}?"

    def test_with_our_beginning_are_named_even_when_nothing_is_near(self) -> None:
        assert strangers({"WORKER_XYZZY_QUUX": "x"}) == [Stranger("WORKER_XYZZY_QUUX", None, False)]

    @pytest.mark.parametrize(
        "name",
        ["PATH", "HOME", "HOSTNAME", "SHELL", "LOGNAME", "LANG", "TZ", "HTTP_PROXY", "PGHOST", "TASK_ID", "PYTHONPATH",
         "SHELL_SESSION_ID", "DJANGO_SETTINGS_MODULE", "SSL_CERT_FILE", "DEBUGINFOD_URLS", "TASK_SCHEDULER_TEST", "CI",
         "XDG_DATA_HOME", "VIRTUAL_ENV", "EDITOR", "COLORTERM", "KUBERNETES_PORT", "KUBERNETES_SERVICE_HOST"],
    )  # fmt: skip
    def test_of_other_programs_are_left_alone(self, name: str) -> None:
        assert strangers({name: "x"}) == []

    def test_are_none_among_our_own(self) -> None:
        assert strangers(known()) == []


class TestRefused:
    @pytest.mark.parametrize(
        "name", ["SCHEDULR_PROFILE", "SHELL_ALLOWED_COMMAND", "SHELL_TASK_ENABLED", "shell_allowed_commands"]
    )
    def test_where_less_protection_than_meant_would_be_the_result(self, name: str) -> None:
        assert list(refused(strangers({name: "x"}), on_embedded=False)) == [name]

    @pytest.mark.parametrize("name", ["DATABSE_URL", "DATABASE_URI", "DB_HOSTS"])
    def test_where_another_database_would_be_used(self, name: str) -> None:
        assert list(refused(strangers({name: "x"}), on_embedded=True)) == [name]
        assert refused(strangers({name: "x"}), on_embedded=False) == {}

    def test_is_nothing_else(self) -> None:
        assert refused(strangers({"LOG_LEVL": "x", "DB_USER": "x", "SCHEDULER_FOO": "x"}), on_embedded=True) == {}


class TestShown:
    def sources(self, variables: dict[str, str], *, profile: str = "dev") -> dict[str, tuple[str, Source]]:
        rows = shown(variables, from_file=frozenset({"PORT"}), profile=profile)
        return {row.name: (row.value, row.source) for row in rows}

    def test_has_every_variable_with_its_source(self) -> None:
        found = self.sources({"PORT": "9000", "HOST": "0.0.0.0", "LOG_LEVEL": " "})
        assert set(found) == set(known())
        assert found["PORT"] == ("9000", Source.FILE)
        assert found["HOST"] == ("0.0.0.0", Source.ENVIRONMENT)
        assert found["LOG_LEVEL"] == ("INFO", Source.DEFAULT)
        assert found["LOG_FORMAT"] == ("console", Source.DEFAULT)

    def test_has_the_defaults_of_the_profile(self) -> None:
        found = self.sources({"SHELL_TASKS_ENABLED": "true"}, profile="prod")
        assert found["LOG_FORMAT"] == ("json", Source.PROFILE)
        assert found["SHELL_TASKS_ENABLED"] == ("true", Source.ENVIRONMENT)

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("SECRET_KEY", "hush-hush"),
            ("TASK_TOKEN_KEY", "hush-hush"),
            ("DB_PASSWORD", "hush-hush"),
            ("DATABASE_URL", "postgresql://me:hush-hush@db/x"),
            ("DATABASE_URL", "host=db dbname=x password='hush-hush' sslpassword=hush-hush"),
            ("DATABASE_URL", "hush-hush no address"),
            ("DIRECT_DATABASE_URL", "postgresql://db/x?password=hush-hush"),
        ],
    )
    def test_has_no_secret(self, name: str, text: str) -> None:
        assert "hush" not in str(list(shown({name: text}, from_file=frozenset(), profile="dev")))

    def test_says_where_a_database_is(self) -> None:
        assert "host=db" in masked("DATABASE_URL", "postgresql://me:x@db/y")
        assert masked("DIRECT_DATABASE_URL", "off") == "off"


def test_a_file_adds_what_the_environment_has_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("PORT=9000\nHOST=0.0.0.0\n# LOG_LEVEL=DEBUG\n")
    monkeypatch.setenv("HOST", "127.0.0.1")
    monkeypatch.setenv("PORT", "")
    monkeypatch.delenv("PORT")
    assert environment.read_file(tmp_path / ".env") == {"PORT"}
    assert (os.environ["HOST"], os.environ["PORT"]) == ("127.0.0.1", "9000")
