"""Check the protocol in all its worlds, or show how a broken variant of it goes wrong.

python -m tests.model [--size small|large] [--world TEXT] [--variant NAME]
"""

from __future__ import annotations

import argparse
import resource
import sys

from tests.model.broken import VARIANTS
from tests.model.checker import check
from tests.model.protocol import Protocol
from tests.model.worlds import LARGE, SMALL


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--size", choices=["small", "large"], default="small")
    parser.add_argument("--world", default="", help="only the worlds whose name contains this")
    parser.add_argument("--variant", choices=[v.protocol.__name__ for v in VARIANTS], help="show its counterexample")
    options = parser.parse_args()
    if options.variant:
        [variant] = [v for v in VARIANTS if v.protocol.__name__ == options.variant]
        print(f"{variant.protocol.__doc__}\n{check(variant.protocol(variant.world))}")
        return 0
    holds = True
    for name, world in (SMALL if options.size == "small" else LARGE).items():
        if options.world in name:
            report = check(Protocol(world))
            holds &= report.violation is None
            megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            print(f"{name}: {report} (at most {megabytes:,} MB so far)", flush=True)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
