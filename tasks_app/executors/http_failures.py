"""What goes wrong between a worker and a peer, in sentences for the people whose tasks these are.

They name what is wrong and, where there is one, the way out; they hold no address, no URL, no words of the peer, and
nothing of how this program is made. An error that is not known here still ends in a sentence.

Sources: getaddrinfo(3), errno(3), x509_verify_cert_error_string(3) (the numbers), RFC 8446 §6.2 (TLS alerts).
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Iterator
from enum import StrEnum
from typing import Final


class Phase(StrEnum):
    """What an attempt is in the middle of, to be read behind "while" or "it was still"."""

    LOOK_UP = "looking up the host's name"
    CONNECT = "connecting"
    HANDSHAKE = "agreeing on TLS"
    SEND = "sending the request"
    WAIT = "waiting for the answer"
    HEADERS = "receiving the answer's headers"
    BODY = "receiving the answer's body"


class NetworkFailure(Exception):
    """A failure that has its words already."""


_LOOK_UPS: Final = {
    **dict.fromkeys(
        {getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY") if hasattr(socket, name)},
        "there is no such host",
    ),
    socket.EAI_AGAIN: "the name server does not answer",
    socket.EAI_FAIL: "the name server cannot say",
    socket.EAI_MEMORY: "this machine has no memory left",
}

_CONNECTIONS: Final = {
    errno.ECONNREFUSED: "the connection was refused: does something listen there?",
    errno.ETIMEDOUT: "nothing answered in time",
    errno.EHOSTUNREACH: "there is no route to the host",
    errno.ENETUNREACH: "there is no route to its network",
    errno.EHOSTDOWN: "the host is down",
    errno.ENETDOWN: "the network of this machine is down",
    errno.EADDRNOTAVAIL: "this machine has no address or port left to connect from",
    errno.EAFNOSUPPORT: "this machine does not have the version of IP that it takes",
    **dict.fromkeys((errno.EACCES, errno.EPERM), "this machine does not permit the connection"),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "this worker has too many files and connections open"),
    **dict.fromkeys((errno.ENOBUFS, errno.ENOMEM), "this machine has no memory left for the connection"),
    **dict.fromkeys(
        (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.ENOTCONN, errno.ESHUTDOWN),
        "the peer broke the connection off",
    ),
}

_TRUST: Final = "to trust it, name a file with it (PEM) in the worker's SSL_CERT_FILE"
_ISSUER: Final = f"the authority behind it is not trusted here, or the peer does not send the whole chain; {_TRUST}"
_CERTIFICATES: Final = {
    **dict.fromkeys((2, 20, 21, 27), f"cannot be verified: {_ISSUER}"),
    9: "is not valid yet: is the clock of the worker's machine right?",
    10: "has expired",
    18: f"is self-signed; {_TRUST}",
    19: f"comes from an authority that is not trusted here; {_TRUST}",
    23: "was revoked",
    26: "is not meant for a server",
    **dict.fromkeys((62, 64), "is for another name: not the one in the URL"),
    **dict.fromkeys((66, 67, 68), "is too weak: its key or its signature is of a kind that is broken today"),
}

_NO_TLS: Final = "the peer does not speak TLS there: should the URL begin with http://?"
_OLD: Final = "the peer speaks no version of TLS that is safe today (1.2 or newer)"
_NOTHING_IN_COMMON: Final = "the peer refused the handshake: it has no cipher in common, or wants a client certificate"
_CLIENT_CERTIFICATE: Final = "the peer wants a client certificate, and HTTP tasks have none"
_HUNG_UP: Final = "the peer hung up"
#: By the symbol that OpenSSL gives as reason.
_HANDSHAKES: Final = {
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "UNKNOWN_PROTOCOL": _NO_TLS,
    "HTTP_REQUEST": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "UNSUPPORTED_PROTOCOL": _OLD,
    "VERSION_TOO_LOW": _OLD,
    "NO_PROTOCOLS_AVAILABLE": _OLD,
    "TLSV1_ALERT_PROTOCOL_VERSION": _OLD,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _NOTHING_IN_COMMON,
    "NO_SHARED_CIPHER": _NOTHING_IN_COMMON,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _CLIENT_CERTIFICATE,
    "SSLV3_ALERT_BAD_CERTIFICATE": _CLIENT_CERTIFICATE,
    "TLSV1_ALERT_UNKNOWN_CA": _CLIENT_CERTIFICATE,
    "TLSV1_UNRECOGNIZED_NAME": "the peer has no site of that name",
    "TLSV1_ALERT_UNRECOGNIZED_NAME": "the peer has no site of that name",
    "DH_KEY_TOO_SMALL": "the peer's keys are too weak",
    "EE_KEY_TOO_SMALL": "the peer's keys are too weak",
    "CA_MD_TOO_WEAK": "the peer's certificate is too weak",
    "UNEXPECTED_EOF_WHILE_READING": _HUNG_UP,
}


def explain(error: BaseException, phase: Phase) -> str:
    """One sentence, without a full stop, about an error that came up in a phase."""
    for cause in _causes(error):
        if isinstance(cause, NetworkFailure):
            return str(cause)
        if isinstance(cause, ssl.SSLError):
            return _explain_tls(cause, phase)
        if isinstance(cause, OSError) and (cause.errno is not None or isinstance(cause, TimeoutError)):
            return f"{explain_connection(cause)} while {phase}"
    return f"the exchange failed while {phase}"


def explain_look_up(error: BaseException) -> str:
    """Why a name has no address, to be read behind the name and "does not resolve:"."""
    if isinstance(error, UnicodeError):  # a label that is empty or too long for the idna codec
        return "it is no valid host name"
    return _LOOK_UPS.get(error.errno or 0, "the look-up failed") if isinstance(error, OSError) else "the look-up failed"


def explain_connection(error: OSError) -> str:
    """Why there is no connection, or no longer one, as far as the system knows."""
    if isinstance(error, TimeoutError):
        return _CONNECTIONS[errno.ETIMEDOUT]
    known = _CONNECTIONS.get(error.errno or 0)
    return known or f"the connection failed ({os.strerror(error.errno)})" if error.errno else "the connection failed"


def _explain_tls(error: ssl.SSLError, phase: Phase) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate {_CERTIFICATES.get(getattr(error, 'verify_code', 0), 'cannot be verified')}"
    eof = isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError))
    reason = getattr(error, "reason", None) or ""
    words = _HUNG_UP if eof else _HANDSHAKES.get(reason)
    if words is None:
        words = f"TLS failed ({reason.lower().replace('_', ' ')})" if reason else "TLS failed"
    return words if words in {_NO_TLS, _OLD, _CLIENT_CERTIFICATE} else f"{words} while {phase}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What led to an error, from the first to itself."""
    chain = [error]
    while (cause := error.__cause__ or (None if error.__suppress_context__ else error.__context__)) is not None:
        chain.append(error := cause)
    return reversed(chain)
