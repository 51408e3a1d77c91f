"""``createapikey NAME --scopes a,b [--owner USERNAME] [--expires DAYS]``: prints the key once, alone on stdout."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError
from django.db.utils import DatabaseError

from access_app.keys import NEVER, KeyRefused, create_key
from access_app.management.base import ProjectCommand
from access_app.rights import Scope

MAX_DAYS = 36_500


class Command(ProjectCommand):
    help = "Create an API key and print it once, alone on stdout. Only its hash is stored: it cannot be shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help="recorded as createdBy of its tasks; never reused")
        parser.add_argument("--scopes", required=True, metavar="A,B", help=f"some of {', '.join(Scope)}")
        parser.add_argument(
            "--owner",
            metavar="USERNAME",
            help="whose account it belongs to, whose rights bound its own and end it",
        )
        parser.add_argument(
            "--expires",
            type=_days,
            metavar="DAYS",
            help="days until it is refused, or never; without it, API_KEY_DEFAULT_EXPIRY_DAYS",
        )

    def handle(self, *, name: str, scopes: str, owner: str | None, expires: timedelta | None, **options: Any) -> None:
        self.require_migrations()
        wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
        try:
            account = None if owner is None else _account(owner)
            key, secret = create_key(name, wanted, actor="command:createapikey", owner=account, expires_in=expires)
        except KeyRefused as error:
            raise CommandError(str(error), returncode=2) from None
        except DatabaseError as error:
            raise CommandError(f"the key was not created: {str(error).strip()}") from None
        until = f", until {key.expires_at:%Y-%m-%d %H:%M} UTC" if key.expires_at else ""
        self.stderr.write(f"API key {key.name} with {', '.join(key.scopes)}{until}. It is shown only now:", lambda s: s)
        self.stdout.write(secret)


def _account(username: str) -> Any:
    users = get_user_model().objects
    account = None if "\0" in username else users.filter(username=username).first()
    if account is None:
        raise KeyRefused(f"owner: there is no account {username!r}")
    return account


def _days(text: str) -> timedelta:
    """Argparse reports this error under the argument's name, with status 2."""
    if text == "never":
        return NEVER
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 0 < days <= MAX_DAYS:
        raise ArgumentTypeError(f"must be a number of days above 0 and up to {MAX_DAYS}, or never, not {text!r}")
    return timedelta(days=days)
