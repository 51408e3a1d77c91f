"""Every setting of the scheduler, parsed. Pure: nothing here reads the environment.

`load` turns a mapping of strings into a frozen `Config`, or raises `ConfigErrors` with every bad name at once.
``scheduler_project/settings.py`` is the only reader of the environment; code reads ``django.conf.settings.SCHEDULER``.
"""

from tasks_app.conf.knobs import Config
from tasks_app.conf.loading import ConfigErrors, load
from tasks_app.conf.values import LogFormat, Network, Profile, Sandbox, parse_bool, whole_number, words

__all__ = [
    "Config",
    "ConfigErrors",
    "LogFormat",
    "Network",
    "Profile",
    "Sandbox",
    "load",
    "parse_bool",
    "whole_number",
    "words",
]
