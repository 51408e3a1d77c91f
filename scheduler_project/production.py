"""What the prod profile refuses to start with. Pure: values in, sentences out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from tasks_app.conf import Network

#: `secrets.token_urlsafe(24)` is as long; it has 192 bits.
SHORTEST_SECRET: Final = 32
#: 32 random hexadecimal digits have fewer different ones once in 10^7 times.
FEWEST_CHARACTERS: Final = 8
_PLACEHOLDERS: Final = (
    "insecure", "changeme", "change-me", "change_me", "secret", "password", "example", "replace", "your-", "your_",
    "default", "qwerty", "letmein",
)  # fmt: skip
HOW: Final = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"


def refusals(
    *, secret_key: str, debug: bool, allowed_hosts: Sequence[str], trusted_proxies: Sequence[Network]
) -> dict[str, str]:
    """What is unsafe, by variable."""
    found: dict[str, str] = {}
    if problem := secret_problem(secret_key):
        found["SECRET_KEY"] = f"{problem}; {HOW}"
    if debug:
        found["DEBUG"] = "must be off in the prod profile"
    if problem := hosts_problem(allowed_hosts):
        found["ALLOWED_HOSTS"] = problem
    if everybody := [str(network) for network in trusted_proxies if network.prefixlen == 0]:
        found["TRUSTED_PROXIES"] = f"must not be everybody in the prod profile, as {everybody[0]} is: name the proxies"
    return found


def secret_problem(text: str) -> str | None:
    """Why a text is no secret: whoever guesses it signs sessions of their own."""
    if not text:
        return "must be set in the prod profile"
    if len(text) < SHORTEST_SECRET:
        return f"is too short for the prod profile: {len(text)} characters, at least {SHORTEST_SECRET} are needed"
    if any(word in text.lower() for word in _PLACEHOLDERS):
        return "looks like a placeholder"
    if len(set(text)) < FEWEST_CHARACTERS or _repeats(text) or _runs(text):
        return "can be guessed"
    return None


def hosts_problem(hosts: Sequence[str]) -> str | None:
    """Why a list of host names does not protect from forged Host headers."""
    if not hosts:
        return "must name the hosts this site is reached under, in the prod profile"
    for host in hosts:
        if host == "*" or (host.startswith(".") and "." not in host[1:]):
            return f"must not be open to any host in the prod profile, as {host} is: name the hosts"
        if "/" in host or (":" in host and not host.startswith("[")):
            return f"must be host names without scheme and port, not {host!r}"
    return None


def _repeats(text: str) -> bool:
    """Whether it is one piece again and again."""
    return text in (text + text)[1:-1]


def _runs(text: str) -> bool:
    """Whether most characters are neighbours in the alphabet, as in ``abcdefgh…`` or ``12345…``."""
    near = sum(abs(ord(a) - ord(b)) <= 1 for a, b in pairwise(text))
    return near * 3 > len(text) * 2


def problem_of_token_key(key: str) -> str | None:
    """Why tasks cannot be given tokens with this key, or with one of several between commas; None for nothing, and for
    none. Holds in every profile.
    """
    short = key and any(len(each.strip()) < SHORTEST_SECRET for each in key.split(","))
    return f"must have at least {SHORTEST_SECRET} characters, each key of several; {HOW}" if short else None
