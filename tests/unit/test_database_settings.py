"""Which database the environment selects. Nothing is connected to."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from scheduler_project.database import (
    CONNECTION_DEFAULTS,
    DatabaseChoice,
    DatabaseSettingError,
    Source,
    choose,
    django_database,
)

BASE = Path("/srv/project")
SECRET = "s3cr3t"


def chosen(**environ: str) -> DatabaseChoice:
    return choose(environ, BASE)


def django_of(**environ: str) -> dict[str, Any]:
    return django_database(environ, BASE)


class TestChoose:
    @pytest.mark.parametrize(
        ("environ", "source"),
        [
            ({}, Source.EMBEDDED),
            ({"DATABASE_URL": "  ", "DB_HOST": ""}, Source.EMBEDDED),
            ({"DB_PORT": "6000", "DB_NAME": "a", "DB_USERNAME": "b", "DB_PASSWORD": "c"}, Source.EMBEDDED),
            ({"DB_HOST": "db"}, Source.DB_HOST),
            ({"DATABASE_URL": "postgresql://db/x"}, Source.DATABASE_URL),
            ({"DATABASE_URL": "postgresql://db/x", "DB_HOST": "other"}, Source.DATABASE_URL),
        ],
    )
    def test_order(self, environ: dict[str, str], source: Source) -> None:
        choice = choose(environ, BASE)
        assert choice.source == source
        assert (choice.embedded is not None) == (source == Source.EMBEDDED)

    def test_shows_no_password(self) -> None:
        assert SECRET not in repr(chosen(DATABASE_URL=f"postgresql://u:{SECRET}@h/db"))


class TestDatabaseUrl:
    def test_fills_the_names_django_knows(self) -> None:
        entry = django_of(DATABASE_URL="postgresql://u:p%40ss@db.example:6000/x")
        assert {key: entry[key] for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")} == {
            "NAME": "x",
            "USER": "u",
            "PASSWORD": "p@ss",
            "HOST": "db.example",
            "PORT": "6000",
        }
        assert entry["ENGINE"] == "scheduler_project.postgresql"
        assert entry["EMBEDDED"] is None
        assert entry["CONN_HEALTH_CHECKS"] is True

    def test_keeps_all_that_libpq_supports(self) -> None:
        entry = django_of(
            DATABASE_URL="postgres://u@h1:1,h2:2/x?target_session_attrs=read-write&sslmode=verify-full"
            "&sslrootcert=%2Fetc%2Fca.pem&options=-c%20statement_timeout%3D5s"
        )
        assert (entry["HOST"], entry["PORT"]) == ("h1,h2", "1,2")
        assert (
            entry["OPTIONS"].items()
            >= {
                "target_session_attrs": "read-write",
                "sslmode": "verify-full",
                "sslrootcert": "/etc/ca.pem",
                "options": "-c statement_timeout=5s",
            }.items()
        )

    @pytest.mark.parametrize(
        ("url", "host"),
        [
            ("postgresql://%2Fvar%2Frun%2Fpostgresql/x", "/var/run/postgresql"),
            ("postgresql:///x?host=/var/run/postgresql", "/var/run/postgresql"),
            ("host=/var/run/postgresql dbname=x", "/var/run/postgresql"),
            ("postgresql://[::1]:5433/x", "::1"),
            ("postgresql://h1,h2:5433/x", "h1,h2"),
        ],
    )
    def test_accepts(self, url: str, host: str) -> None:
        entry = django_of(DATABASE_URL=url)
        assert (entry["HOST"], entry["NAME"]) == (host, "x")

    def test_accepts_a_service_without_a_name(self) -> None:
        entry = django_of(DATABASE_URL="service=scheduler")
        assert (entry["NAME"], entry["OPTIONS"]["service"]) == ("", "scheduler")

    def test_sets_time_outs_unless_given(self) -> None:
        assert django_of(DATABASE_URL="postgresql://h/x")["OPTIONS"] == CONNECTION_DEFAULTS
        options = django_of(DATABASE_URL="postgresql://h/x?connect_timeout=30&application_name=me")["OPTIONS"]
        assert options == CONNECTION_DEFAULTS | {"connect_timeout": "30", "application_name": "me"}

    @pytest.mark.parametrize(
        "url",
        [
            SECRET,
            f"mysql://u:{SECRET}@h/x",
            f"postgresql://u:{SECRET}%zz@h/x",
            f"postgresql://u:{SECRET}@h:70000/x",
            f"postgresql://u:{SECRET}@h:{SECRET}/x",
            f"postgresql://u:{SECRET}@h",
            f"postgresql://u:{SECRET}@[::1/x",
            f"postgresql://u:{SECRET} y@h/x",
            f"postgresql://u:{SECRET}@{SECRET}@h/x",
            f"postgresql://u:{SECRET}/x@h/x",
            f"postgresql://u:p@h/x?{SECRET}",
            f"postgresql://u:p@h/x?{SECRET}=1",
            f"postgresql://u:p@h/x?connect_timeout={SECRET}",
            f"postgresql://h1:1,h2:2,h3:3/x?port=1,2&password={SECRET}",
            f"host=h dbname=x password='{SECRET}",
            f'host=h dbname=x password=a" {SECRET}=b',
            f"host=h dbname=x password=a {SECRET}",
        ],
    )
    @pytest.mark.parametrize("name", ["DATABASE_URL", "DIRECT_DATABASE_URL"])
    def test_error_names_the_variable_and_shows_no_secret(self, name: str, url: str) -> None:
        with pytest.raises(DatabaseSettingError) as caught:
            chosen(**{name: url})
        assert caught.value.name == name
        assert str(caught.value)
        assert SECRET not in str(caught.value)
        assert SECRET not in "".join(traceback.format_exception(caught.value))

    def test_error_says_what_is_wrong(self) -> None:
        with pytest.raises(DatabaseSettingError, match='invalid URI query parameter: "…"'):
            chosen(DATABASE_URL="postgresql://h/x?colour=red")
        with pytest.raises(DatabaseSettingError, match="port must be a whole number from 1 to 65535"):
            chosen(DATABASE_URL="postgresql://h:0/x")
        with pytest.raises(DatabaseSettingError, match="dbname is missing"):
            chosen(DATABASE_URL="postgresql://h")


class TestDbHost:
    def test_defaults(self) -> None:
        entry = django_of(DB_HOST="db")
        assert [entry[key] for key in ("HOST", "PORT", "NAME", "USER", "PASSWORD")] == [
            "db",
            "5432",
            "task_scheduler",
            "task_scheduler",
            "",
        ]
        assert entry["OPTIONS"] == CONNECTION_DEFAULTS

    def test_all_parts(self) -> None:
        entry = django_of(DB_HOST="db", DB_PORT="6000", DB_NAME="n", DB_USERNAME="u", DB_PASSWORD="p w'")
        assert [entry[key] for key in ("HOST", "PORT", "NAME", "USER", "PASSWORD")] == ["db", "6000", "n", "u", "p w'"]

    @pytest.mark.parametrize(
        ("name", "value"), [("DB_PORT", "x"), ("DB_PORT", "70000"), ("DB_HOST", f"postgresql://u:{SECRET}@h/x")]
    )
    def test_error_names_the_part(self, name: str, value: str) -> None:
        with pytest.raises(DatabaseSettingError) as caught:
            chosen(**{"DB_HOST": "db", name: value})
        assert caught.value.name == name
        assert SECRET not in str(caught.value)


class TestEmbedded:
    def test_lives_in_the_project(self, tmp_path: Path) -> None:
        choice = choose({}, tmp_path)
        assert choice.embedded is not None
        assert choice.embedded.location.wanted == tmp_path.resolve() / ".data" / "postgres"
        assert choice.embedded.bindir is None
        entry = choice.django
        assert (entry["NAME"], entry["USER"], entry["PASSWORD"]) == ("task_scheduler", "postgres", "")
        assert entry["HOST"] == str(choice.embedded.location.socket_dir)
        assert entry["OPTIONS"].items() >= CONNECTION_DEFAULTS.items()
        assert not (tmp_path / ".data").exists()

    def test_moves_and_takes_other_programs(self, tmp_path: Path) -> None:
        choice = choose({"EMBEDDED_DATA_DIR": "scratch/pg", "PG_BINDIR": "/opt/pg/bin"}, tmp_path)
        assert choice.embedded is not None
        assert choice.embedded.location.wanted == tmp_path.resolve() / "scratch" / "pg"
        assert choice.embedded.bindir == Path("/opt/pg/bin")


class TestDirectConninfo:
    URL = f"postgresql://u:{SECRET}@pooler:6432/x"

    def test_is_the_main_one_by_default(self) -> None:
        choice = chosen(DATABASE_URL=self.URL)
        assert choice.direct_conninfo is not None
        assert conninfo_to_dict(choice.direct_conninfo) == dict(choice.params)
        assert choice.django["DISABLE_SERVER_SIDE_CURSORS"] is False

    @pytest.mark.parametrize("off", ["off", " OFF "])
    def test_off_means_poll_only(self, off: str) -> None:
        choice = chosen(DATABASE_URL=self.URL, DIRECT_DATABASE_URL=off)
        assert choice.direct_conninfo is None

    def test_goes_past_the_pooler(self) -> None:
        choice = chosen(DATABASE_URL=self.URL, DIRECT_DATABASE_URL="host=db dbname=x keepalives_idle=60")
        assert choice.direct_conninfo is not None
        assert conninfo_to_dict(choice.direct_conninfo) == CONNECTION_DEFAULTS | {
            "host": "db",
            "dbname": "x",
            "keepalives_idle": "60",
        }
        assert choice.django["HOST"] == "pooler"
        assert choice.django["DISABLE_SERVER_SIDE_CURSORS"] is True
