"""Who may do what: one table of actions (`table`), who is asked about (`callers`), what they may give away (`grants`).

Everything that decides asks here: views of the API, sessions, pages and buttons of the admin, the roles, and which
scopes a person may give to a key. Pure: a person's permissions are read through `Account`; nothing here knows HTTP.
"""

from access_app.rights.callers import Account, Caller, KeyCaller, Person, Refused
from access_app.rights.grants import grantable, permissions_of, scopes
from access_app.rights.table import Action, Role, Scope
from access_app.rights.task_types import type_scope

__all__ = [
    "Account",
    "Action",
    "Caller",
    "KeyCaller",
    "Person",
    "Refused",
    "Role",
    "Scope",
    "grantable",
    "permissions_of",
    "scopes",
    "type_scope",
]
