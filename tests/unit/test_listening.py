"""The web process's address and socket: what the environment may say, and who may already be there."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from scheduler_project.web import listening
from scheduler_project.web.listening import ListeningError, address, open_listener, url_of


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST", "WEB_WORKERS", "WEB_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PORT", "0")


@pytest.fixture
def stranger() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


class TestAddress:
    def test_is_loopback_and_8000_by_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("PORT")
        assert address() == ("127.0.0.1", 8000)

    def test_takes_ipv6_with_and_without_brackets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for text in ("::1", "[::1]"):
            monkeypatch.setenv("HOST", text)
            assert listening.netloc(*address()) == "[::1]:0"


class TestOpenListener:
    @pytest.mark.parametrize(
        ("name", "value"),
        [("PORT", "abc"), ("PORT", "65536"), ("PORT", "-1"), ("WEB_WORKERS", "0"), ("WEB_THREADS", "many")],
    )
    def test_names_a_variable_that_is_no_number(self, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
        monkeypatch.setenv(name, value)
        with pytest.raises(ListeningError, match=f"^{name}: must be a whole number"):
            open_listener()

    @pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "127.0.0.1:80", "a" * 300])
    def test_names_a_host_that_is_not_ours(self, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
        monkeypatch.setenv("HOST", host)
        monkeypatch.setattr(socket, "getaddrinfo", _without_names)
        with pytest.raises(ListeningError, match=r"^HOST: .* is no address of this host"):
            open_listener()

    def test_names_who_has_the_port_and_the_way_out(
        self, monkeypatch: pytest.MonkeyPatch, stranger: socket.socket
    ) -> None:
        port = stranger.getsockname()[1]
        monkeypatch.setenv("PORT", str(port))
        with pytest.raises(ListeningError) as refused:
            open_listener()
        text = str(refused.value)
        assert text.startswith(f"PORT: 127.0.0.1:{port} is taken by process {os.getpid()} (")
        assert text.endswith("stop it, or choose another, as in PORT=8000")

    def test_finds_a_stranger_on_the_loopback_address_of_a_port_of_all_addresses(
        self, monkeypatch: pytest.MonkeyPatch, stranger: socket.socket
    ) -> None:
        monkeypatch.setenv("HOST", "0.0.0.0")
        # As on systems where the bind succeeds beside a more specific one.
        monkeypatch.setattr(listening, "_reachable", lambda listener: stranger.getsockname())
        with pytest.raises(ListeningError, match="is taken by"):
            open_listener()

    def test_does_not_share_its_port(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with open_listener() as listener:
            monkeypatch.setenv("PORT", str(listener.getsockname()[1]))
            with pytest.raises(ListeningError, match="is taken by"):
                open_listener()

    def test_can_follow_itself_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with open_listener() as listener:
            place = listener.getsockname()
            with socket.create_connection(place), listener.accept()[0]:
                pass
        monkeypatch.setenv("PORT", str(place[1]))
        with open_listener() as again:
            assert again.getsockname() == place


class TestUrlOf:
    @pytest.mark.parametrize(
        ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]"), ("::", "[::1]")]
    )
    def test_is_where_this_host_reaches_it(self, monkeypatch: pytest.MonkeyPatch, host: str, shown: str) -> None:
        monkeypatch.setenv("HOST", host)
        with open_listener() as listener:
            assert url_of(listener) == f"http://{shown}:{listener.getsockname()[1]}"


def _without_names(host: str, port: int, **options: int) -> object:
    """The real one, but asking no name server."""
    return _getaddrinfo(host, port, **options | {"flags": options["flags"] | socket.AI_NUMERICHOST})


_getaddrinfo = socket.getaddrinfo
