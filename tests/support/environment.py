"""The environment of a test run. A pytest plugin loaded with ``-p``, because it must come before Django's settings are
read, and pytest-django reads them before any ``conftest.py``."""

from __future__ import annotations

import os
import sys

from tests.support.cluster import session_cluster_url

# The last would have every process that tests start compile all our modules again, and pytest rewrite all of its.
sys.dont_write_bytecode = False
for name in ("DB_HOST", "DIRECT_DATABASE_URL", "DEBUG", "PYTHONDONTWRITEBYTECODE"):
    os.environ.pop(name, None)
os.environ["SCHEDULER_PROFILE"] = "test"
os.environ["DATABASE_URL"] = session_cluster_url()
