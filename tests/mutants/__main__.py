"""``python -m tests.mutants``: which guards would be missed. Exit status 1 when a mutant survives or proves nothing."""

from __future__ import annotations

import argparse
import os
import sys

from tests.mutants.run import run_all
from tests.mutants.table import MUTANTS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="those whose name begins so; may be repeated")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="how many at once")
    parser.add_argument("--list", action="store_true", help="name them, and run nothing")
    options = parser.parse_args()
    chosen = [m for m in MUTANTS if not options.only or m.name.startswith(tuple(options.only))]
    if options.list:
        print(*(f"{m.name:<24} promise {m.promise:>2}  {m.path}" for m in chosen), sep="\n")
        return 0
    if not chosen:
        parser.error("no mutant has such a name")
    promises = {m.name: m.promise for m in chosen}
    bad = 0
    print(
        f"first the tests as they are, then {len(chosen)} mutants, some five seconds each", file=sys.stderr, flush=True
    )
    for result in run_all(chosen, jobs=options.jobs):
        bad += result.verdict != "killed"
        promise = promises.get(result.name, "")
        print(f"{result.name:<24} {promise:>3}  {result.verdict:<9} {result.seconds:5.1f} s  {result.by}", flush=True)
    print(f"{len(chosen)} mutants, {bad} not killed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
