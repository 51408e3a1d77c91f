"""``python -m scheduler_project COMMAND``: Django's command line, from a checkout or an installed wheel alike."""

from __future__ import annotations

import os
import select
import sys
from typing import Final

#: What shells say of a program that was ended because nobody reads what it prints.
UNREAD: Final = 141


def main() -> None:
    """Run the command line. Ends with `UNREAD`, and no traceback, when what it prints to has ended: ``… | head``."""
    try:
        try:
            _run()
        finally:
            sys.stdout.flush()  # here, where what is wrong with it can be caught
    except BrokenPipeError:
        if not _is_unread():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left of it is flushed at the exit
        raise SystemExit(UNREAD) from None


def _is_unread() -> bool:
    looked_at = select.poll()
    looked_at.register(sys.stdout.fileno(), 0)
    return any(found & (select.POLLERR | select.POLLHUP) for _, found in looked_at.poll(0))


def _run() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_project.settings")
    if sys.argv[1:] in (["--version"], ["version"]):  # Django's command line would print its own
        from django.conf import settings

        sys.stdout.write(f"{settings.VERSION}\n")
        return
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
