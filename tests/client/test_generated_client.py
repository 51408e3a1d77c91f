"""That a client generated from the document is whole, type-checks, and does what the README's examples do."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scheduler_project.openapi import document
from tests.factories import make_key

pytestmark = pytest.mark.client
EXAMPLES = Path(__file__).parent / "readme_examples.py"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the client as the package ``scheduler_client``, and the examples beside it."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "schema.json").write_text(json.dumps(document()))
    (folder / "config.yml").write_text("post_hooks: []\n")  # it would only tidy up with ruff
    done = run(
        *("-m", "openapi_python_client", "generate", "--meta", "none", "--config", "config.yml"),
        *("--path", "schema.json", "--output-path", "scheduler_client", "--fail-on-warning"),
        folder=folder,
    )
    assert "Warning" not in done.stdout + done.stderr, done.stdout
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.copy(EXAMPLES, folder)
    return folder


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Python, in a folder, for two minutes at most."""
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=120)


class TestClient:
    def test_is_generated_without_a_warning(self, project: Path) -> None:
        assert (project / "scheduler_client" / "models" / "http_task.py").is_file()

    def test_type_checks_and_so_do_the_examples(self, project: Path) -> None:
        done = run("-m", "mypy", "--strict", "--no-incremental", "scheduler_client", EXAMPLES.name, folder=project)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_does_the_readmes_examples(self, project: Path, transactional_db: None, live_server: Any) -> None:
        base = live_server.url.replace("localhost", "127.0.0.1")
        done = run(EXAMPLES.name, base, make_key(), folder=project)
        assert done.returncode == 0, done.stderr
