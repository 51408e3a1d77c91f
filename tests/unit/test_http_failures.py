"""That whatever goes wrong on the network ends in a sentence for people."""

from __future__ import annotations

import builtins
import errno
import http.client
import inspect
import socket
import ssl
from itertools import product

import pytest
import requests.exceptions
import urllib3.exceptions

from tasks_app.executors import http_failures
from tasks_app.executors.http_failures import NetworkFailure, Phase, explain, explain_connection, explain_look_up
from tests.support.http_attempts import assert_plain

EAI = {name: getattr(socket, name) for name in dir(socket) if name.startswith("EAI_")}
#: Every kind of error of the libraries between us and the network, and of Python.
KINDS = [
    kind
    for module in (urllib3.exceptions, requests.exceptions, http.client, ssl, socket, builtins)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, Exception) and kind not in {ExceptionGroup, BaseExceptionGroup}
]


def of_library(kind: type[Exception]) -> Exception:
    """An error of a kind with jargon in it, made without its constructor, whose arguments differ."""
    error = kind.__new__(kind)
    error.args = ("HTTPConnectionPool(host='10.0.0.1', port=80): [Errno 5] (_ssl.c:1006)", b"secret", 7)
    return error


def wrapped(root: Exception) -> Exception:
    """As urllib3 and requests hand errors on: the first one as cause of a second and context of a third."""
    try:
        try:
            raise urllib3.exceptions.ProtocolError("Connection aborted.", root) from root  # noqa: TRY301
        except urllib3.exceptions.ProtocolError as error:
            raise requests.exceptions.ConnectionError(error)  # noqa: B904 - as requests does
    except requests.exceptions.ConnectionError as error:
        return error


class TestExplain:
    def test_ends_every_kind_of_error_in_a_sentence(self) -> None:
        for kind in KINDS:
            for error in (of_library(kind), wrapped(of_library(kind))):
                words = explain(error, Phase.BODY)
                assert_plain(words)
                assert "secret" not in words, kind
                assert "10.0.0.1" not in words, kind

    def test_ends_every_number_of_the_system_in_a_sentence(self) -> None:
        for number, phase in product(sorted(errno.errorcode), Phase):
            words = explain(wrapped(OSError(number, f"[Errno {number}] raw words")), phase)
            assert_plain(words)
            assert words.endswith(f"while {phase}"), number

    def test_ends_every_verdict_on_a_certificate_in_a_sentence(self) -> None:
        for number in range(200):
            error = ssl.SSLCertVerificationError(1, "[SSL: X] certificate verify failed: y (_ssl.c:1006)")
            error.verify_code = number
            words = explain(wrapped(error), Phase.HANDSHAKE)
            assert_plain(words)
            assert words.startswith("the peer's certificate "), number

    @pytest.mark.parametrize("reason", [*http_failures._HANDSHAKES, "BAD_SIGNATURE", "", None])
    def test_ends_every_reason_of_tls_in_a_sentence(self, reason: str | None) -> None:
        error = ssl.SSLError(1, f"[SSL: {reason}] words (_ssl.c:1006)")
        error.reason = reason  # type: ignore[assignment]
        assert_plain(explain(wrapped(error), Phase.HANDSHAKE))

    def test_takes_the_first_cause_that_it_knows(self) -> None:
        assert explain(wrapped(NetworkFailure("it is late")), Phase.WAIT) == "it is late"
        reset = explain(wrapped(ConnectionResetError(errno.ECONNRESET, "x")), Phase.SEND)
        assert reset == "the peer broke the connection off while sending the request"

    def test_does_not_know_what_was_only_handled_before(self) -> None:
        try:
            try:
                raise OSError(errno.ECONNREFUSED, "x")  # noqa: TRY301
            except OSError:
                raise NetworkFailure("the last word") from None
        except NetworkFailure as error:
            assert explain(error, Phase.BODY) == "the last word"


class TestExplainLookUp:
    @pytest.mark.parametrize("name", EAI)
    def test_ends_every_number_in_words(self, name: str) -> None:
        assert_plain(explain_look_up(socket.gaierror(EAI[name], "Name or service not known")))

    def test_knows_what_can_be_mended(self) -> None:
        assert explain_look_up(socket.gaierror(socket.EAI_NONAME, "x")) == "there is no such host"
        assert explain_look_up(socket.gaierror(socket.EAI_AGAIN, "x")) == "the name server does not answer"
        assert explain_look_up(UnicodeError("label too long")) == "it is no valid host name"
        assert explain_look_up(OSError(errno.EMFILE, "x")) == "the look-up failed"


class TestExplainConnection:
    def test_says_what_the_system_says_where_nothing_better_is_known(self) -> None:
        assert explain_connection(OSError(errno.EPROTO, "x")) == "the connection failed (Protocol error)"
        assert explain_connection(OSError("x")) == "the connection failed"
        assert explain_connection(TimeoutError("x")) == "nothing answered in time"
