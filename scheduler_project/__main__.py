"""``python -m scheduler_project COMMAND``: Django's command line, from a checkout or an installed wheel alike."""

from __future__ import annotations

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_project.settings")
    if sys.argv[1:] in (["--version"], ["version"]):  # Django's command line would print its own
        from django.conf import settings

        sys.stdout.write(f"{settings.VERSION}\n")
        return
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
