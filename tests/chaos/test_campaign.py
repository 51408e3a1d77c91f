"""A small campaign with a fixed seed, so that a blow and the oracles are tried with every test run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from tests.chaos.campaign.findings import read_records
from tests.support.scale import WHOLE

FAULTS = ("kill-worker", "stop-scheduler", "restart-database", "limits") if WHOLE else ("restart-database",)


@pytest.mark.timeout(300)
def test_a_small_seeded_campaign_finds_nothing_lost_and_nothing_doubled(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    command = [sys.executable, "-m", "tests.chaos.campaign", "--seed", "1", "--times", "1", "--out", str(out)]
    ran = subprocess.run(
        [*command, "--seconds", "15", "--only", ",".join(FAULTS)],
        cwd=settings.BASE_DIR,
        env=os.environ.copy(),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    records = read_records(out)
    assert {record.fault for record in records} == set(FAULTS)
    assert all(record.counts["accepted"] > 0 for record in records if record.times == 0)
