"""``apikey list [--json]`` and ``apikey revoke NAME``: which API keys there are, and the end of one."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError

from access_app import keys
from access_app.management.base import ProjectCommand
from access_app.models import ApiKey

_COLUMNS = ("name", "state", "owner", "scopes", "expires", "last used", "from")


class Command(ProjectCommand):
    help = "List the API keys, or refuse one from now on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", metavar="list|revoke", required=True)
        listing = actions.add_parser("list", help="every key, revoked ones too; no secret is stored, so none is shown")
        listing.add_argument("--json", action="store_true", help="as a JSON array")
        actions.add_parser("revoke", help="refuse a key from now on").add_argument("name", metavar="NAME")

    def handle(self, *, action: str, **options: Any) -> None:
        self.require_migrations()
        if action == "revoke":
            self._revoke(options["name"])
        elif options["json"]:
            self.stdout.write(json.dumps([_document(key, owner) for key, owner in _keys()], indent=2))
        else:
            self._print_table([_COLUMNS, *(_row(key, owner) for key, owner in _keys())])

    def _revoke(self, name: str) -> None:
        key = None if "\0" in name else ApiKey.objects.filter(name=name).first()
        if key is None:
            raise CommandError(f"there is no API key {name!r}; `apikey list` names them", returncode=2)
        if key.revoked_at is not None:
            self.stdout.write(f"API key {name} has been refused since {_when(key.revoked_at)}.")
            return
        keys.revoke_key(key, actor="command:apikey")
        self.stdout.write(f"API key {name} is refused from now on.")

    def _print_table(self, rows: list[tuple[str, ...]]) -> None:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.stdout.write("  ".join(cells).rstrip())


def _keys() -> list[tuple[ApiKey, Any]]:
    found = list(ApiKey.objects.defer("key_hash"))
    owners = keys.owners_of(found)
    return [(key, owners.get(key.owner_id)) for key in found]


def _row(key: ApiKey, owner: Any) -> tuple[str, ...]:
    return (
        key.name,
        keys.state_of(key, owner),
        owner.get_username() if owner else "deleted" if key.owner_id else "-",
        ",".join(key.scopes),
        _when(key.expires_at) if key.expires_at else "never",
        _when(key.last_used_at) if key.last_used_at else "never",
        key.last_used_address or "-",
    )


def _document(key: ApiKey, owner: Any) -> dict[str, Any]:
    return {
        "name": key.name,
        "state": keys.state_of(key, owner),
        "prefix": key.prefix,
        "scopes": key.scopes,
        "owner": owner.get_username() if owner else None,
        "createdAt": _json(key.created_at),
        "createdBy": key.created_by,
        "expiresAt": _json(key.expires_at),
        "revokedAt": _json(key.revoked_at),
        "lastUsedAt": _json(key.last_used_at),
        "lastUsedAddress": key.last_used_address,
    }


def _when(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _json(instant: datetime | None) -> str | None:
    return None if instant is None else instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
