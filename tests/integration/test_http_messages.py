"""What HTTP tasks say when they fail: what is wrong, and the way out."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tasks_app.executors.egress import AddressInfo
from tasks_app.executors.http import HttpExecutor
from tasks_app.executors.http_reply import Reply
from tasks_app.states import ErrorCode
from tests.support.http_attempts import (
    LOOPBACK,
    assert_body,
    assert_network,
    assert_plain,
    names,
    no_dns,
    run,
    trusting,
)
from tests.support.peers import TLS, Peer, Received, closed_port, response, says


def https(peer: Peer, host: str = "127.0.0.1", *, trust: str = "ca") -> str | None:
    """What is said of an attempt over TLS."""
    executor = HttpExecutor(LOOPBACK, resolver=names(other_test="127.0.0.1"), roots=lambda: trusting(trust))
    outcome = run(peer.url(host=host).replace("http:", "https:"), executor=executor)
    assert_network(outcome, "^no complete answer: ")
    return outcome.error_message


def alert(description: int, level: int = 2) -> Callable[[Peer, socket.socket], None]:
    """Responds to a TLS hello with an alert (RFC 8446 §6)."""

    def greet(_: Peer, connection: socket.socket) -> None:
        connection.recv(5)
        connection.sendall(bytes((21, 3, 3, 0, 2, level, description)))
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):  # else the unread rest of the hello resets the connection
            pass

    return greet


def hangs_up(_: Peer, connection: socket.socket) -> None:
    connection.recv(5)


def resets(_: Peer, connection: socket.socket) -> None:
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class TestConnection:
    def test_that_is_refused(self) -> None:
        with closed_port() as port:
            outcome = run(f"http://127.0.0.1:{port}/?secret")
        assert_network(outcome, f"^no connection to 127.0.0.1 port {port}: the connection was refused: does something")

    @pytest.mark.parametrize(
        ("number", "words"),
        [(socket.EAI_NONAME, "there is no such host"), (socket.EAI_AGAIN, "the name server does not answer")],
    )
    def test_to_a_name_that_does_not_resolve(self, number: int, words: str) -> None:
        def resolver(host: str, port: int) -> Sequence[AddressInfo]:
            raise socket.gaierror(number, "Name or service not known")

        executor = HttpExecutor(LOOPBACK, resolver=resolver)
        outcome = run("http://nowhere.example/", executor=executor)
        assert_network(outcome, f"^the name nowhere.example does not resolve: {words}$")

    def test_that_is_reset(self) -> None:
        with Peer(greet=resets) as peer:
            assert_network(run(peer.url()), "the peer broke the connection off while waiting for the answer; if it")

    def test_that_is_reset_within_the_body(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def answer(peer: Peer, connection: socket.socket, _: Received) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            assert peer.reached.wait(5)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        def begin(*args: Any, **kwargs: Any) -> Reply:
            peer.reached.set()
            return original(*args, **kwargs)

        original = Reply.begin
        monkeypatch.setattr(Reply, "begin", begin)
        with Peer(answer) as peer:
            assert_network(run(peer.url()), "the peer broke the connection off while receiving the answer's body$")


class TestCertificate:
    def test_that_is_self_signed(self) -> None:
        with Peer(says(response()), tls=True, certificate="self-signed") as peer:
            message = https(peer)
        assert message == (
            "no complete answer: the peer's certificate is self-signed; "
            "to trust it, name a file with it (PEM) in the worker's SSL_CERT_FILE"
        )
        assert peer.requests == []

    def test_that_is_self_signed_is_trusted_as_the_message_says(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "self-signed.pem"))
        with Peer(says(response(200, b"safe")), tls=True, certificate="self-signed") as peer:
            assert_body(run(peer.url()), "safe", truncated=False)

    def test_of_an_authority_that_nobody_knows(self) -> None:
        with Peer(says(response()), tls=True) as peer:
            message = https(peer, trust="self-signed")
        assert message is not None
        assert "the authority behind it is not trusted here" in message
        assert "SSL_CERT_FILE" in message

    def test_of_an_authority_that_comes_along(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        chain = (TLS / "server.pem").read_text() + (TLS / "ca.pem").read_text()
        (tmp_path / "chain.pem").write_text(chain)
        (tmp_path / "self-signed.pem").write_text((TLS / "self-signed.pem").read_text())
        monkeypatch.setattr("tests.support.peers.TLS", tmp_path)
        with Peer(says(response()), tls=True, certificate="chain") as peer:
            message = https(peer, trust="self-signed")
        assert message is not None
        assert "comes from an authority that is not trusted here; to trust it" in message

    @pytest.mark.parametrize(
        ("certificate", "words"), [("expired", "has expired"), ("future", "is not valid yet: is the clock")]
    )
    def test_of_another_time(self, certificate: str, words: str) -> None:
        with Peer(says(response()), tls=True, certificate=certificate) as peer:
            message = https(peer, trust=certificate)
        assert message is not None
        assert f"the peer's certificate {words}" in message

    @pytest.mark.parametrize("host", ["other.test", "127.0.0.2"])
    def test_for_another_name(self, host: str) -> None:
        with Peer(says(response()), tls=True, host="127.0.0.2" if host == "127.0.0.2" else "127.0.0.1") as peer:
            message = https(peer, host)
        assert message is not None
        assert message.endswith("the peer's certificate is for another name: not the one in the URL")
        assert peer.requests == []


class TestHandshake:
    @pytest.mark.parametrize(
        "greet", [lambda _, sock: sock.sendall(response()), lambda _, sock: sock.sendall(b"SSH-2.0-x\r\n" * 9)]
    )
    def test_with_a_peer_that_does_not_speak_tls(self, greet: Callable[[Peer, socket.socket], None]) -> None:
        with Peer(greet=greet) as peer:
            message = https(peer)
        assert message == "no complete answer: the peer does not speak TLS there: should the URL begin with http://?"

    def test_that_is_not_made(self) -> None:
        """The reverse: the URL says http, and the peer speaks TLS."""
        with Peer(greet=alert(70)) as peer:
            assert_network(run(peer.url()), "the peer speaks TLS, so the URL should begin with https://$")

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_that_is_perhaps_not_made(self, scheme: str) -> None:
        """A TLS server on OpenSSL hangs up on plain text without a word."""
        with Peer(says(response()), tls=True) if scheme == "http" else Peer(greet=hangs_up) as peer:
            outcome = run(peer.url().replace("https:", "http:").replace("http:", f"{scheme}:"))
        assert_network(outcome, "if it speaks TLS there, the URL" if scheme == "http" else "while agreeing on TLS$")

    @pytest.mark.parametrize("greet", [hangs_up, resets])
    def test_with_a_peer_that_hangs_up(self, greet: Callable[[Peer, socket.socket], None]) -> None:
        with Peer(greet=greet) as peer:
            message = https(peer)
        assert message is not None
        assert message.endswith("while agreeing on TLS")

    @pytest.mark.parametrize(
        ("number", "words"),
        [
            (40, "it has no cipher in common, or wants a client certificate"),
            (42, "the peer wants a client certificate, and HTTP tasks have none"),
            (70, "the peer speaks no version of TLS that is safe today"),
            (112, "the peer has no site of that name"),
            (116, "the peer wants a client certificate, and HTTP tasks have none"),
        ],
    )
    def test_that_the_peer_refuses(self, number: int, words: str) -> None:
        with Peer(greet=alert(number)) as peer:
            message = https(peer)
        assert message is not None
        assert words in message

    @pytest.mark.parametrize("number", [*range(0, 121, 5), *range(40, 52), 80, 86, 109, 110, 113, 115, 255])
    def test_that_is_refused_in_any_way_has_words(self, number: int) -> None:
        with Peer(greet=alert(number)) as peer:
            assert_plain(https(peer))


class TestRedirect:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_that_is_not_followed_names_the_field(self, status: int) -> None:
        with Peer(says(response(status, location="/elsewhere?token=secret"))) as peer:
            outcome = run(peer.url())
        assert (outcome.error_code, outcome.retryable) == (ErrorCode.HTTP_STATUS, False)
        assert outcome.error_message is not None
        assert outcome.error_message.startswith(f"answered {status} ")
        assert outcome.error_message.endswith(": set followRedirects, or name the URL that it leads to")
        assert "secret" not in outcome.error_message

    @pytest.mark.parametrize(("status", "headers"), [(302, {}), (304, {"location": "/x"}), (404, {"location": "/x"})])
    def test_is_not_spoken_of_where_there_is_none(self, status: int, headers: dict[str, str]) -> None:
        with Peer(says(response(status, **headers))) as peer:
            message = run(peer.url()).error_message
        assert message is not None
        assert "followRedirects" not in message

    def test_is_not_spoken_of_when_it_was_followed(self) -> None:
        def answer(peer: Peer, connection: socket.socket, _: Received) -> None:
            connection.sendall(response(302, location="/x") if len(peer.requests) == 1 else response(302))

        with Peer(answer) as peer:
            assert run(peer.url(), followRedirects=True).error_message == "answered 302 Found"

    @pytest.mark.parametrize(
        ("fresh", "words"),
        [
            (True, "answered with a redirect that is one more than the 10 that are followed"),
            (False, "answered with a redirect that leads in a circle: it is one more than the 10 that are followed"),
        ],
    )
    def test_without_end_says_whether_it_is_a_circle(self, fresh: bool, words: str) -> None:
        def answer(peer: Peer, connection: socket.socket, _: Received) -> None:
            hop = len(peer.requests)
            connection.sendall(response(302, location=f"/{hop if fresh else hop % 2}?token=secret"))

        with Peer(answer) as peer:
            outcome = run(peer.url(), followRedirects=True)
        assert (outcome.error_code, outcome.retryable) == (ErrorCode.HTTP_STATUS, False)
        assert outcome.error_message == words

    def test_down_to_http_is_refused(self) -> None:
        with Peer(says(response(302, location="http://127.0.0.1/?token=secret")), tls=True) as peer:
            executor = HttpExecutor(LOOPBACK, resolver=no_dns, roots=lambda: trusting("ca"))
            outcome = run(peer.url(), executor=executor, followRedirects=True)
        assert outcome.error_message == "answered with a redirect that leads from https down to http"
