"""Asks an index whether a locked package has a known vulnerability: a part of ``make lint``.

Exit status 1 when one has. Where no index can be reached (a machine without one, a mirror without such data) nothing
can be said: that is printed, and no failure, because lint must not depend on somebody else's service.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCKED = ("runtime", "embedded", "dev", "browser")
SECONDS = 120


def ask() -> list[dict[str, Any]]:
    """What the index says of each locked package; nothing when it cannot be reached."""
    files = [argument for name in LOCKED for argument in ("-r", str(ROOT / "requirements" / f"{name}.txt"))]
    options = ["--require-hashes", "--disable-pip", "--no-deps", "--timeout", "5", "--progress-spinner", "off"]
    command = [sys.executable, "-m", "pip_audit", *options, "--format", "json", *files]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return []
    return packages


def main() -> int:
    packages = [package for package in ask() if "skip_reason" not in package]
    known = [(package, flaw) for package in packages for flaw in package["vulns"]]
    for package, flaw in known:
        fixed = ", ".join(flaw["fix_versions"]) or "no version yet"
        sys.stderr.write(f"{package['name']} {package['version']}: {flaw['id']}, fixed in {fixed}\n")
    sys.stdout.write(f"pip-audit: {len(packages)} packages looked up, {len(known)} known vulnerabilities\n")
    if not packages:
        sys.stdout.write("pip-audit: no index can be reached, so nothing is known about vulnerabilities\n")
    return 1 if known else 0


if __name__ == "__main__":
    sys.exit(main())
