"""Hurt a real installation and look what was lost or doubled: ``make chaos``, or ``python -m tests.chaos.campaign``.

    make chaos FULL=1                                       the full counts
    make chaos ARGS="--only kill-worker,random --times 3"   some of it
    make chaos ARGS="--only limits --seconds 240"           limits, for four minutes
    make chaos ARGS="--report --write"                      only write down what all runs have found

Everything runs on loopback, on a PostgreSQL of its own, and is gone afterwards. What was found is added to
.data/chaos/results.jsonl; the report adds up all runs in it. The status is 1 when this run found a violation.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.chaos.campaign.findings import Findings, Record, read_records
from tests.chaos.campaign.installation import Installation, running_installation, set_up_django
from tests.support.documents import write_generated
from tests.support.machine import ROOT, describe

if TYPE_CHECKING:
    from tests.chaos.campaign.campaign import Campaign, Fault

OUT = ROOT / ".data/chaos/results.jsonl"
DOCUMENT = ROOT / "docs/reliability.md"


def main() -> int:
    arguments = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started is ended
    broken = [] if arguments.report else attack(arguments)
    if arguments.report or arguments.write:
        tell(arguments)
    sys.stderr.write("".join(f"violation: {text}\n" for text in broken))
    return 1 if broken else 0


def parse() -> argparse.Namespace:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.campaign", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", metavar="a,b", help="these faults (default: all)")
    parser.add_argument("--times", type=int, metavar="N", help="how often each (default: about a tenth of the full)")
    parser.add_argument("--full", action="store_true", help="the full counts; takes hours")
    parser.add_argument("--seconds", type=float, metavar="S", help="length of random and limits (60; full 1,200)")
    parser.add_argument("--seed", type=int, default=None, metavar="S", help="of the load and of chance (default: new)")
    parser.add_argument("--out", type=Path, default=OUT, help="where findings are added (.data/chaos/results.jsonl)")
    parser.add_argument("--report", action="store_true", help="hurt nothing, print what all runs have found")
    parser.add_argument("--write", action="store_true", help="write the report into docs/reliability.md")
    arguments = parser.parse_args()
    arguments.seed = random.randrange(2**31) if arguments.seed is None else arguments.seed
    return arguments


def attack(arguments: argparse.Namespace) -> list[str]:
    """Inject the faults asked for; return what was violated."""
    broken: list[str] = []
    with running_installation() as installation:
        from tests.chaos.campaign.faults import FAULTS  # Django is set up now

        machine = describe(installation.ask_one("SHOW server_version"))
        with under_load(installation, arguments) as campaign:
            for fault in choose(FAULTS, arguments.only):
                broken += run(campaign, fault, arguments, machine)
        if broken:
            keep_log(installation, arguments.out)
    return broken


def tell(arguments: argparse.Namespace) -> None:
    """Print what all runs have found, and write it down if asked."""
    set_up_django()
    from tests.chaos.campaign.faults import FAULTS
    from tests.chaos.campaign.report import report

    text = report(FAULTS, read_records(arguments.out))
    print(text)
    if arguments.write:
        write_generated(DOCUMENT, text)


def choose(faults: Mapping[str, Fault], only: str) -> list[Fault]:
    names = [name.strip() for name in only.split(",") if name.strip()]
    if unknown := set(names) - faults.keys():
        sys.exit(f"--only: there is no {', '.join(sorted(unknown))}; there are {', '.join(faults)}")
    return [fault for name, fault in faults.items() if name in names or not names]


@contextmanager
def under_load(installation: Installation, arguments: argparse.Namespace) -> Iterator[Campaign]:
    """A campaign with its load."""
    from tests.chaos.campaign.campaign import Campaign
    from tests.chaos.campaign.load import Load

    load = Load(random.Random(arguments.seed), installation.effects)
    load.start()
    try:
        yield Campaign(
            installation, load, random.Random(arguments.seed), full=arguments.full, seconds=arguments.seconds
        )
    finally:
        load.close()


def run(campaign: Campaign, fault: Fault, arguments: argparse.Namespace, machine: Mapping[str, Any]) -> list[str]:
    """One fault as often as asked, said and kept as it goes; return what was violated."""
    from tests.chaos.campaign.campaign import describe as short
    from tests.chaos.campaign.report import exceeded

    together, began = Findings(), time.monotonic()
    for times, found in campaign.run(fault, arguments.times or (fault.full if arguments.full else fault.short)):
        at = datetime.now(UTC).isoformat(timespec="seconds")
        Record.of(fault.name, times, arguments.seed, at, machine, found).write(arguments.out)
        together.add(found)
        words = "  ".join(f"{name} {value}" for name, value in short(found).items())
        print(f"{fault.name}{'' if times else ' settled'}  {words}  ({time.monotonic() - began:.0f} s)", flush=True)
        print("".join(f"  violation: {text}\n" for text in found.violations), end="", flush=True)
    return [f"{fault.name}: {text}" for text in [*exceeded(fault, together), *together.violations]]


def keep_log(installation: Installation, out: Path) -> None:
    """What the processes said (warnings and errors), beside the findings."""
    kept = out.with_name(f"{out.stem}-{datetime.now(UTC):%Y%m%dT%H%M%S}.log")
    shutil.copyfile(installation.log, kept)
    sys.stderr.write(f"The processes' log: {kept}\n")


if __name__ == "__main__":
    sys.exit(main())
