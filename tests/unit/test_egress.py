"""Which addresses HTTP tasks may reach, and that a dialer connects to nothing that was not judged.

Nothing here connects beyond loopback or asks a name server: resolvers are injected, connections replaced.
"""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_app.executors import egress
from tasks_app.executors.base import Execution
from tasks_app.executors.egress import Address, AddressInfo, Dialer, EgressDenied, Unreachable, refusal
from tasks_app.executors.lifeline import Lifeline
from tests.support.peers import Peer, closed_port

LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))

#: Written out once more from the IANA registries, not imported from the code under test.
FORBIDDEN_IPV4 = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "168.63.129.16/32",
]
FORBIDDEN_IPV6 = [
    "::/128",
    "::1/128",
    "::/96",
    "::ffff:0:0:0/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/32",
    "2001:2::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    "4000::/3",
]
EMBEDDINGS: dict[str, Callable[[IPv4Address], Address]] = {
    "plain": lambda v4: v4,
    "mapped": lambda v4: IPv6Address(f"::ffff:{v4}"),
    "compatible": lambda v4: IPv6Address(int(v4)),
    "translated": lambda v4: IPv6Address(f"::ffff:0:{v4}"),
    "nat64": lambda v4: IPv6Address(f"64:ff9b::{v4}"),
    "local nat64": lambda v4: IPv6Address(f"64:ff9b:1::{v4}"),
    "6to4": lambda v4: IPv6Address(0x2002 << 112 | int(v4) << 80 | 1),
    "teredo server": lambda v4: IPv6Address(0x20010000 << 96 | int(v4) << 64 | 0x08080808 ^ 0xFFFFFFFF),
    "teredo client": lambda v4: IPv6Address(0x20010000 << 96 | 0x08080808 << 64 | int(v4) ^ 0xFFFFFFFF),
    "isatap": lambda v4: IPv6Address(f"2a00:1450:4001:800:0:5efe:{v4}"),
    "isatap, global bit": lambda v4: IPv6Address(f"2a00:1450:4001:800:200:5efe:{v4}"),
}


class TestRefusal:
    @pytest.mark.parametrize(
        ("address", "kind"),
        [
            ("127.0.0.1", "a loopback address"),
            ("::1", "a loopback address"),
            ("0.0.0.0", "an unspecified address"),
            ("::", "an unspecified address"),
            ("10.1.2.3", "a private address"),
            ("fd00:ec2::254", "a private address"),
            ("169.254.169.254", "a link-local address"),
            ("fe80::1%eth0", "a link-local address"),
            ("100.100.100.200", "a carrier-internal address"),
            ("192.0.0.192", "a reserved address"),
            ("168.63.129.16", "a cloud host's address"),
            ("255.255.255.255", "a reserved address"),
            ("239.1.2.3", "a multicast address"),
            ("ff02::1", "a multicast address"),
            ("fec0::1", "a site-local address"),
            ("::ffff:127.0.0.1", "a loopback address"),
            ("64:ff9b::10.0.0.1", "a private address"),
            ("::127.0.0.1", "a non-public address"),
            ("2002:7f00:1::", "a 6to4 address"),
            ("2001:db8::1", "a documentation address"),
            ("4000::1", "a non-public address"),
        ],
    )
    def test_names_the_kind(self, address: str, kind: str) -> None:
        assert refusal(ip_address(address)) == kind

    @pytest.mark.parametrize(
        "address",
        [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "168.63.129.15",
            "168.63.129.17",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "2a00:1450:4001:800::200e",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2003::1",
        ],
    )
    def test_lets_public_ones_pass_up_to_the_edge(self, address: str) -> None:
        assert refusal(ip_address(address)) is None

    @pytest.mark.parametrize("form", EMBEDDINGS)
    @given(st.sampled_from(FORBIDDEN_IPV4).flatmap(lambda text: st.ip_addresses(network=text)))
    def test_holds_in_every_embedded_form(self, form: str, address: IPv4Address) -> None:
        assert refusal(EMBEDDINGS[form](address)) is not None

    @pytest.mark.parametrize("form", EMBEDDINGS)
    def test_holds_at_both_ends_of_each_ipv4_network(self, form: str) -> None:
        for net in map(IPv4Network, FORBIDDEN_IPV4):
            assert all(refusal(EMBEDDINGS[form](address)) for address in (net[0], net[-1])), net

    @given(st.sampled_from(FORBIDDEN_IPV6).flatmap(lambda text: st.ip_addresses(network=text)))
    def test_holds_in_every_special_ipv6_network(self, address: IPv6Address) -> None:
        assert refusal(address) is not None

    @given(st.ip_addresses())
    def test_never_passes_what_python_calls_not_global(self, address: IPv4Address | IPv6Address) -> None:
        if address.version == 6 and (address in IPv6Network("::ffff:0:0/96") or address in IPv6Network("64:ff9b::/96")):
            return  # judged by what is inside
        if refusal(address) is None:
            assert address.is_global
            assert not address.is_multicast


class TestAllowed:
    @pytest.mark.parametrize("address", ["127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1"])
    def test_networks_hold_for_the_unwrapped_address(self, address: str) -> None:
        assert refusal(ip_address(address), LOOPBACK) is None

    @pytest.mark.parametrize("address", ["126.0.0.1", "10.0.0.1", "::ffff:10.0.0.1", "::2", "fe80::1"])
    def test_networks_open_nothing_else(self, address: str) -> None:
        allowed = (*LOOPBACK, *(ip_network("126.0.0.0/8"),)) if address == "126.0.0.1" else LOOPBACK
        assert (refusal(ip_address(address), allowed) is None) is (address == "126.0.0.1")

    @pytest.mark.parametrize("form", sorted(set(EMBEDDINGS) - {"plain", "mapped", "nat64"}))
    @pytest.mark.parametrize(
        ("allowed", "passes"), [([], False), (["10.0.0.0/8"], False), (["::/0"], False), (["::/0", "10.0.0.0/8"], True)]
    )
    def test_wrapper_and_content_must_both_be_in_one(self, form: str, allowed: list[str], passes: bool) -> None:
        if form.startswith("isatap"):
            passes = "10.0.0.0/8" in allowed  # its wrapper is a public address
        address, networks = EMBEDDINGS[form](IPv4Address("10.0.0.1")), [ip_network(text) for text in allowed]
        assert (refusal(address, networks) is None) is passes

    def test_an_ipv6_network_does_not_open_ipv4_inside_it(self) -> None:
        assert refusal(ip_address("::ffff:10.0.0.1"), [ip_network("::/0")]) == "a private address"


def info(address: str, port: int = 80) -> AddressInfo:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sockaddr: tuple[Any, ...] = (address, port, 0, 0) if ":" in address else (address, port)
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", sockaddr


class Recorder(Dialer):
    """Connects to nothing, but says to what it would; each address fails but those in ``alive``."""

    def __init__(self, lifeline: Lifeline, *, answers: Sequence[str], allowed: Any = (), alive: str = "") -> None:
        self.lookups: list[tuple[str, int]] = []
        self.tried: list[str] = []
        self.limits: list[float] = []
        self._alive = alive
        self._answers = answers
        super().__init__(lifeline, allowed=allowed, resolver=self._look_up)

    def _look_up(self, host: str, port: int) -> Sequence[AddressInfo]:
        self.lookups.append((host, port))
        return [info(address, port) for address in self._answers]

    def _connect(self, host: str, info: AddressInfo, limit: float) -> socket.socket:
        self.tried.append(info[4][0])
        self.limits.append(limit)
        if info[4][0] != self._alive:
            raise ConnectionRefusedError(111, "Connection refused")
        return socket.socket()


@pytest.fixture
def lifeline() -> Iterator[Lifeline]:
    deadline = time.monotonic() + 20
    execution = Execution(uuid.uuid4(), 1, "HTTP", {}, timedelta(seconds=20), "c", deadline=deadline)
    with Lifeline(execution) as line:
        yield line


class TestDialer:
    @pytest.mark.parametrize(
        "answers",
        [["10.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["10.0.0.1", "8.8.8.8"], ["8.8.8.8", "::1"], ["fe80::1%eth0"]],
    )
    def test_refuses_when_any_address_is_forbidden(self, lifeline: Lifeline, answers: list[str]) -> None:
        dial = Recorder(lifeline, answers=answers, alive="8.8.8.8")
        with pytest.raises(EgressDenied) as caught:
            dial("rebind.example", 80)
        assert dial.tried == []
        assert "rebind.example" in str(caught.value)
        assert "10.0.0.1" not in str(caught.value)

    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0177.0.0.01",
            "0x7f000001",
            "\uff11\uff12\uff17.0.0.1",
            "0",
            "::1",
            "::ffff:7f00:1",
            "localhost",
            "localhost.",
            "127.0.0.1.",
        ],
    )
    def test_does_not_care_how_a_host_is_written(self, lifeline: Lifeline, host: str) -> None:
        dial = Recorder(lifeline, answers=["127.0.0.1"])  # what a resolver says to the forms that are names here
        with pytest.raises(EgressDenied, match=r"loopback|unspecified"):
            dial(host, 80)
        assert dial.tried == []

    def test_asks_no_resolver_about_numbers(self, lifeline: Lifeline) -> None:
        dial = Recorder(lifeline, answers=["10.0.0.1"], alive="8.8.8.8")
        dial("8.8.8.8", 80).close()
        assert (dial.lookups, dial.tried) == ([], ["8.8.8.8"])

    def test_resolves_once_and_connects_to_what_it_judged(self, lifeline: Lifeline) -> None:
        dial = Recorder(lifeline, answers=["8.8.8.8"], alive="8.8.8.8")
        dial("api.example", 443).close()
        assert (dial.lookups, dial.tried) == ([("api.example", 443)], ["8.8.8.8"])

    def test_tries_the_next_address_and_leaves_it_the_time(self, lifeline: Lifeline) -> None:
        dial = Recorder(lifeline, answers=["2606:4700::1", "9.9.9.9", "8.8.8.8"], alive="8.8.8.8")
        dial("api.example", 80).close()
        assert dial.tried == ["2606:4700::1", "9.9.9.9", "8.8.8.8"]
        assert dial.limits[:2] == [egress.NEXT_ADDRESS_AFTER] * 2
        assert dial.limits[2] > egress.NEXT_ADDRESS_AFTER

    def test_reports_the_last_failure(self, lifeline: Lifeline) -> None:
        with pytest.raises(Unreachable, match=r"^no connection to api.example port 80: the connection was refused"):
            Recorder(lifeline, answers=["9.9.9.9", "8.8.8.8"])("api.example", 80)

    def test_a_name_without_addresses_is_unreachable(self, lifeline: Lifeline) -> None:
        with pytest.raises(Unreachable, match="no address"):
            Recorder(lifeline, answers=[])("api.example", 80)

    @pytest.mark.parametrize(
        "error", [socket.gaierror(socket.EAI_NONAME, "Name or service not known"), UnicodeError("label too long")]
    )
    def test_a_name_that_does_not_resolve_is_unreachable(self, lifeline: Lifeline, error: Exception) -> None:
        def resolver(host: str, port: int) -> Sequence[AddressInfo]:
            raise error

        with pytest.raises(Unreachable, match=r"^the name api.example does not resolve: (there is no|it is no)"):
            Dialer(lifeline, resolver=resolver)("api.example", 80)

    def test_refuses_answers_that_are_no_ip_address(self, lifeline: Lifeline) -> None:
        with pytest.raises(EgressDenied, match="no IP address"):
            Recorder(lifeline, answers=["/run/docker.sock"])("api.example", 80)

    def test_connects_where_it_may(self, lifeline: Lifeline) -> None:
        with Peer(greet=lambda peer, _: peer.reached.set()) as peer:
            dial = Dialer(lifeline, allowed=LOOPBACK, resolver=lambda _, port: [info("127.0.0.1", port)])
            with dial("api.test", peer.port) as connection:
                assert connection.getpeername() == ("127.0.0.1", peer.port)
                assert peer.reached.wait(5)

    def test_reports_a_refused_connection(self, lifeline: Lifeline) -> None:
        with closed_port() as port, pytest.raises(Unreachable, match="the connection was refused"):
            Dialer(lifeline, allowed=LOOPBACK)("127.0.0.1", port)

    def test_judges_the_peer_it_got_as_well(self, lifeline: Lifeline, monkeypatch: pytest.MonkeyPatch) -> None:
        class Diverted(socket.socket):
            def getpeername(self) -> Any:
                return "10.0.0.1", 80

        with Peer(greet=lambda *_: None) as peer:
            monkeypatch.setattr("tasks_app.executors.egress.socket.socket", Diverted)
            with pytest.raises(EgressDenied, match="private"):
                Dialer(lifeline, allowed=LOOPBACK)("127.0.0.1", peer.port)
            monkeypatch.undo()
