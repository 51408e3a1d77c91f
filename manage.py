#!/usr/bin/env python
"""Django's command-line entry point in a checkout."""

from scheduler_project.__main__ import main

if __name__ == "__main__":
    main()
