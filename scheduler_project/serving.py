"""How gunicorn serves this project, whether by ``manage.py runweb`` or ``gunicorn scheduler_project.wsgi``: threads,
address, and request metrics of all processes together.

HOST (127.0.0.1) · PORT (8000) · WEB_WORKERS processes (2) · WEB_THREADS threads of each (8): one database connection a
thread. PROMETHEUS_MULTIPROC_DIR is where the processes keep request metrics, so that each of them can report for all; a
temporary folder unless it is set. Options on the command line win over this file.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

import psutil
from gunicorn import glogging

# Imported here so that a bad setting ends the command with its message, not each process it would start. It also sets
# up logging, for gunicorn's own lines too.
from scheduler_project import settings
from scheduler_project.web import listening
from workers_app.processes.prctl import hide_environment

FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
OURS: Final = "task-scheduler-metrics-"


class Logger(glogging.Logger):  # type: ignore[misc]  # gunicorn is untyped
    """Gunicorn's lines as events like all others."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True


try:
    bind = listening.netloc(*listening.address())
    workers, threads = listening.workers(), listening.threads()
except listening.ListeningError as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(2)
# Reads whole requests before a thread gets them, so that slow clients hold none.
worker_class = "scheduler_project.web.worker.Worker"
# Connections of each process. Beyond it the oldest that is idle or has not said what it wants makes room.
worker_connections = 1_000
asgi_lifespan = "off"
# Its own, whose state scheduler_project.web.connection looks at, also where a faster one is installed.
http_parser = "python"
proc_name = "task-scheduler web"
# A thread that works does not keep its process from reporting; this is for a process that hangs as a whole.
timeout = 60
# Less than what runall gives the web process before it kills it.
graceful_timeout = 8
# Longer than proxies keep an idle connection (nginx: 60 s), so that they close it, and never send into a closing one.
keepalive = 75
limit_request_fields = 100
limit_request_line = 8_190
limit_request_field_size = 8_190
# The file each process touches to show that it is alive: on a slow disk that touch alone can take too long.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - gunicorn makes the name itself
# What proxies say of a client is settled by scheduler_project.web.proxies, for any server alike. Here it would change
# the scheme of a request, and SCRIPT_NAME where it begins, for whoever sits at a loopback address.
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}
# It would write into $HOME, and nothing here uses it.
control_socket_disable = True
# django-structlog writes one line a request.
accesslog = None
loglevel = settings.SCHEDULER.log_level.lower()
logger_class = Logger


def keep_request_metrics() -> None:
    """Name a folder before prometheus_client is imported anywhere: it decides once how to keep its values."""
    mine = f"{OURS}{os.getpid()}-"
    name = Path(os.environ.get(FOLDER) or "").name
    if (name and not name.startswith(OURS)) or name.startswith(mine):
        return  # chosen by somebody, or made before this configuration was loaded again
    os.environ[FOLDER] = tempfile.mkdtemp(prefix=mine)
    atexit.register(forget_request_metrics, os.getpid(), os.environ[FOLDER])


def forget_request_metrics(maker: int, folder: str) -> None:
    if os.getpid() == maker:  # the processes it forked come by here as well
        shutil.rmtree(folder, ignore_errors=True)


if settings.SCHEDULER.metrics_enabled and workers > 1:
    keep_request_metrics()


def on_starting(server: Any) -> None:
    """Hide secrets from tasks of this host, and forget the counts of process ids that mean other processes now."""
    hide_environment()
    if folder := os.environ.get(FOLDER):
        Path(folder).mkdir(parents=True, exist_ok=True)
        for file in Path(folder).glob("*.db"):
            file.unlink(missing_ok=True)


def pre_fork(server: Any, worker: Any) -> None:
    """Processes must not share a connection. Only with --preload can there be one; here both sides are still one."""
    if server.cfg.preload_app:
        from django.db import connections

        connections.close_all()


def child_exit(server: Any, worker: Any) -> None:
    if os.environ.get(FOLDER):
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def post_worker_init(worker: Any) -> None:
    threading.Thread(target=tell_stats, name="stats", daemon=True).start()


def tell_stats() -> None:
    """One line a minute, as from every process."""
    from tasks_app import signals

    while True:
        time.sleep(60)
        stats = {"rss_mb": round(psutil.Process().memory_info().rss / 2**20), "threads": threading.active_count()}
        signals.process_stats.send_robust(None, role="web", process_id=os.getpid(), stats=stats)
