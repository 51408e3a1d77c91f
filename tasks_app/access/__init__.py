"""Who may do what: one table of actions (`table`), who is asked about (`callers`), what they may give away (`grants`).

Everything that decides asks here: views of the API, sessions, pages and buttons of the admin, the roles, and which
scopes a person may give to a key. Pure: a person's permissions are read through `Account`; nothing here knows HTTP.
"""

from tasks_app.access.callers import Account, Caller, KeyCaller, Person, Refused, type_scope
from tasks_app.access.grants import grantable, permissions_of, scopes
from tasks_app.access.table import Action, Role, Scope

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
