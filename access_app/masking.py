"""What is hidden before a person, a page or a log sees it: values under names of secrets, credentials in URLs. Pure.

Values are stored and sent as they came; whoever may read a task through the API gets them. A URL's credentials are its
user information (RFC 3986 §3.2.1) and those parameters, in query and fragment, whose names are those of secrets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote

#: What people see in the place of a credential.
MASK: Final = "••••••••"
_SECRET_NAME: Final = re.compile(
    r"authorization|cookie|passw|passphrase|pgpass|pwd$|secret|token|credential|api.?key$|access.?key|private.?key"
    r"|database_url|dsn$|conninfo",
    re.IGNORECASE,
)
#: Names that mean a secret in a URL only: elsewhere a key is a name, and a signature a proof.
_SECRET_PARAMETER: Final = re.compile(
    r"signature|jwt|hmac|session.?id"
    r"|^(?:x[-_])?(?:key|sig|auth|pass|pin|otp|sid|session|assertion|bearer|hash)$",
    re.IGNORECASE,
)
#: Up to the last @ in front of the path, as people write addresses and passwords with one. A word is looked at once,
#: from where it begins; an apostrophe may close what a URL is quoted in, and belongs to it before another letter only.
_USER_INFORMATION: Final = re.compile(r"""((?:(?<!\w)\w*:)?)//((?:[^/\s?#"'<>\\]|'(?=\w))*)@""")
#: One of a query, a fragment or a form. Neither part takes a quote or a backslash, so that JSON stays JSON. What
#: follows a semicolon belongs to the value unless it is a parameter itself.
_PARAMETER: Final = re.compile(
    r"""((?:^|[?&#;])([^\s=&#;?"'<>\\]{1,200})=)"""
    r"""((?:[^\s&#;"'<>\\]|'(?=[\w%])|;(?=[^\s=&#;?"'<>\\]+(?:[&#;\s]|$)))+)"""
)
#: Secrets inside longer text that is no URL. No pattern takes a quote or a backslash, so that JSON stays JSON.
_SECRET_TEXT: Final = re.compile(
    r"""(\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]+"""  # an Authorization header
    r"""|(\btst?_)[A-Za-z0-9_.-]{16,}"""  # an API key, or a task token, of ours
    r"""|(\b(?:password|passwd|pwd|secret_key|api_?key|token)=)[^\s"'&\\,;]+""",  # a conninfo
    re.IGNORECASE,
)
#: One of these is in every text that _SECRET_TEXT changes: looking for them is ten times faster than the pattern.
_SIGNS: Final = ("bearer", "basic", "ts_", "tst_", "word=", "passwd=", "pwd=", "key=", "token=")
#: What a program prints under a name: ``DB_PASSWORD=x``, ``token: x``, ``"secret": "x"``. In quotes or bare.
_NAMED_VALUE: Final = re.compile(
    r"""(?<![\w.])([A-Za-z_][\w.-]{0,80})(["']?[ \t]{0,8}[=:][ \t]{0,8}["']?)([^\s"'&,;<>\\]{1,4096})"""
)
#: Under such a name, what nobody could mean by it: a count, a flag.
_NO_SECRET: Final = re.compile(r"[\d.]{1,12}|true|false|none|null|yes|no", re.IGNORECASE)
#: How often a name or a URL in a URL may be encoded before nobody can follow any more.
_DEEPEST: Final = 3


@lru_cache(maxsize=1024)  # the names of headers and fields are few
def names_secret(name: str) -> bool:
    """Whether what stands under a name is a credential, wherever the name stands."""
    return _SECRET_NAME.search(name) is not None


def mask_urls(text: str, mask: str) -> str:
    """The text with the credentials of every URL in it, whole or relative, replaced by ``mask``."""
    if "@" in text and "//" in text:
        text = _USER_INFORMATION.sub(lambda found: _without_user(found, mask), text)
    if "=" in text:
        text = _PARAMETER.sub(lambda found: found[1] + (mask if _is_credential(found[2], found[3]) else found[3]), text)
    return text


def masked(value: Any, mask: str, *, secret: bool = False) -> Any:
    """The same JSON with every text under a name that means a secret, and what `mask_urls` finds, masked."""
    if isinstance(value, dict):
        return {name: masked(item, mask, secret=secret or names_secret(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [masked(item, mask, secret=secret) for item in value]
    if isinstance(value, str):
        return mask if secret and value else mask_urls(value, mask)
    return value


def mask_text(text: str, mask: str) -> str:
    """Text that is no URL, a log line say, with what looks like a credential anywhere in it replaced by ``mask``."""
    text = mask_urls(text, mask)
    lower = text.lower()
    if not any(sign in lower for sign in _SIGNS):
        return text
    return _SECRET_TEXT.sub(lambda found: f"{next(filter(None, found.groups()))}{mask}", text)


def mask_output(text: str, mask: str) -> str:
    """What a program has printed, as `mask_text`, and with what it prints under the name of a secret masked."""
    text = mask_text(text, mask)
    if not _SECRET_NAME.search(text):
        return text
    return _NAMED_VALUE.sub(lambda found: _without_value(found, mask), text)


def _without_value(found: re.Match[str], mask: str) -> str:
    name, between, value = found.groups()
    if not names_secret(name) or _NO_SECRET.fullmatch(value):
        return found[0]
    return f"{name}{between}{mask}"


def _without_user(found: re.Match[str], mask: str) -> str:
    """A user beside a password is a name; one without may be a token, where people give tokens: to HTTP."""
    scheme, (user, _, password) = found[1], found[2].partition(":")
    if password:
        return f"{scheme}//{user}:{mask}@"
    return f"{scheme}//{mask}@" if user and scheme.lower().endswith(("http:", "https:")) else found[0]


def _is_credential(name: str, value: str, depth: int = _DEEPEST) -> bool:
    plain = _decoded(name)
    if names_secret(plain) or _SECRET_PARAMETER.search(plain):
        return True
    if not depth or not ("%" in value or "=" in value):
        return False
    *_, inner = levels = [value, *_levels(value)]  # a URL in a URL: where to go on to, with its own token
    return any(_is_credential(name, value, depth - 1) for _, name, value in _PARAMETER.findall(inner)) or (
        # At each level: decoded once more, a slash of a password would end the user information.
        any(_USER_INFORMATION.search(level) for level in levels)
    )


def _decoded(text: str) -> str:
    *_, last = [text, *_levels(text)]
    return last


def _levels(text: str) -> Iterator[str]:
    """The text decoded once, twice and so on, while there is anything to decode."""
    for _ in range(_DEEPEST):
        if "%" not in text:
            break
        text = unquote(text)
        yield text
