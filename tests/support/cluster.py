"""Scratch PostgreSQL clusters for tests: a folder of their own, no fsync, no TCP, and gone when their process is gone.

The server is the embedded one's code with other options. How a test run uses its cluster is ``conftest.py``'s.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from scheduler_project.embedded.location import Location, locate
from scheduler_project.embedded.server import EmbeddedServer

SESSION_URL = "TASK_SCHEDULER_TEST_CLUSTER_URL"
# Commits still reach the operating system, so they survive kill -9 of the server; only a power cut would lose them.
OPTIONS = {"fsync": "off", "full_page_writes": "off", "max_connections": "300"}

# Waits for the end of its standard input: closed by us, or by the kernel when our process dies, however it dies. It is
# the only thing that removes a cluster, so the way out after a kill -9 is tried in every run.
WATCHER = """
cat >/dev/null
data=$1
pid=$(head -n 1 "$data/postmaster.pid")
cwd=$(readlink "/proc/$pid/cwd")  # empty where there is no /proc; otherwise proof that this pid was not used again
[ -n "$pid" ] && [ "${cwd:-$data}" = "$data" ] && kill -QUIT "$pid"
tries=0
while [ -e "$data/postmaster.pid" ] && [ $tries -lt 100 ]; do sleep 0.05; tries=$((tries + 1)); done
rm -rf "$@"
"""


@dataclass(frozen=True, slots=True)
class ScratchCluster:
    server: EmbeddedServer

    @property
    def url(self) -> str:
        return self.server.location.url


@contextmanager
def scratch_cluster(bindir: Path | None = None, settings: Mapping[str, str] | None = None) -> Iterator[ScratchCluster]:
    """Start a cluster of its own, and remove it at the end: also when this process is killed. ``settings`` are GUCs."""
    with scratch_location() as location:
        server = EmbeddedServer(location, bindir=bindir, options=OPTIONS | dict(settings or {}))
        server.start(announce=False)
        yield ScratchCluster(server)


@contextmanager
def scratch_location() -> Iterator[Location]:
    """A place for a server's data. At the end the server is killed and the place removed: also when we are killed."""
    folder = Path(tempfile.mkdtemp(prefix="task-scheduler-test-")).resolve()
    folder.chmod(0o711)  # root's server account must pass; the data in it stay private
    location = locate(folder / "postgres")
    leftovers = dict.fromkeys((location.data_dir, folder, location.socket_dir, location.annex))
    watcher = subprocess.Popen(
        ["/bin/sh", "-c", WATCHER, "watcher", *leftovers],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in the terminal must not end it before its work
    )
    with watcher:  # its exit closes the pipe and waits
        yield location


def session_cluster_url() -> str:
    """The URL of the one cluster of this test run, started by the first call.

    Call it in conftest.py while it is imported or in ``pytest_configure``: there pytest-xdist's controller comes before
    its workers, which find the URL in the environment they inherit. The controller's exit removes the cluster.
    """
    if SESSION_URL not in os.environ:
        if "PYTEST_XDIST_WORKER" in os.environ:
            raise RuntimeError("a worker has no cluster: conftest.py must ask for it in the controller first")
        stack = ExitStack()
        bindir = os.environ.get("PG_BINDIR")
        cluster = stack.enter_context(scratch_cluster(Path(bindir) if bindir else None))
        atexit.register(stack.close)
        os.environ[SESSION_URL] = cluster.url
    return os.environ[SESSION_URL]
