"""Where a request came from: the word of a trusted proxy counts, a stranger's does not."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_project.web.proxies import address_of, client_of, settle

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("127.0.0.0/8"), ip_network("fd00::/8"))
PROXY = "10.0.0.1"
#: Every header that some proxy, library or framework takes a client's address, host or scheme from.
WRITTEN_BY_PROXIES = [
    "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT", "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_PROTOCOL", "HTTP_X_FORWARDED_SSL", "HTTP_X_FORWARDED_PREFIX", "HTTP_X_FORWARDED_SERVER",
    "HTTP_X_FORWARDED", "HTTP_FORWARDED", "HTTP_FORWARDED_FOR", "HTTP_X_REAL_IP", "HTTP_X_CLIENT_IP",
    "HTTP_TRUE_CLIENT_IP",
]  # fmt: skip


def settled(peer: str, **headers: str) -> dict[str, str]:
    meta = {"REMOTE_ADDR": peer, "HTTP_HOST": "tasks.example.com", **headers}
    settle(meta, TRUSTED)
    return meta


class TestSettle:
    def test_leaves_nothing_of_what_a_stranger_claims(self) -> None:
        forged = dict.fromkeys(WRITTEN_BY_PROXIES, "198.51.100.66")
        assert settled("203.0.113.9", **forged) == settled("203.0.113.9")

    def test_takes_address_and_scheme_from_a_trusted_proxy_and_nothing_else(self) -> None:
        said = dict.fromkeys(WRITTEN_BY_PROXIES, "198.51.100.66") | {"HTTP_X_FORWARDED_PROTO": "https"}
        expected = settled("198.51.100.66") | {"HTTP_X_FORWARDED_PROTO": "https"}
        assert settled(PROXY, **said) == expected

    @pytest.mark.parametrize("peer", ["", "unix:", "localhost", "10.0.0.1.evil", "::ffff:203.0.113.9"])
    def test_trusts_no_peer_that_it_cannot_place(self, peer: str) -> None:
        assert settled(peer, HTTP_X_FORWARDED_FOR="198.51.100.66", HTTP_X_FORWARDED_PROTO="https") == settled(peer)

    def test_knows_a_trusted_peer_in_its_ipv6_form(self) -> None:
        assert settled("::ffff:10.0.0.1", HTTP_X_FORWARDED_FOR="198.51.100.66")["REMOTE_ADDR"] == "198.51.100.66"

    def test_leaves_a_trusted_peer_that_says_nothing(self) -> None:
        assert settled(PROXY) == {"REMOTE_ADDR": PROXY, "HTTP_HOST": "tasks.example.com"}


class TestClientOf:
    @pytest.mark.parametrize(
        ("chain", "client"),
        [
            ("198.51.100.66", "198.51.100.66"),
            ("203.0.113.1, 198.51.100.66", "198.51.100.66"),  # the first one is the client's own claim
            ("198.51.100.66, 10.0.0.2", "198.51.100.66"),  # through two proxies
            ("203.0.113.1,198.51.100.66,fd00::7,10.9.9.9", "198.51.100.66"),
            ("10.0.0.7, 10.0.0.2", "10.0.0.7"),  # somebody within
            ("198.51.100.66:4711", "198.51.100.66"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("::ffff:198.51.100.66", "198.51.100.66"),
            ("198.51.100.66, unknown", PROXY),
            ("unknown, 10.0.0.2", "10.0.0.2"),
            ("", PROXY),
            (",", PROXY),
            ("198.51.100.66,", PROXY),
            ("1.2.3.4.5", PROXY),
        ],
    )
    def test_is_the_first_from_the_right_that_is_no_proxy_of_ours(self, chain: str, client: str) -> None:
        assert str(client_of(ip_address(PROXY), chain, TRUSTED)) == client

    @given(st.text(max_size=200))
    def test_is_not_moved_by_what_a_client_writes_before_it(self, claim: str) -> None:
        assert str(client_of(ip_address(PROXY), f"{claim}, 198.51.100.66", TRUSTED)) == "198.51.100.66"

    def test_follows_no_endless_chain(self) -> None:
        chain = "198.51.100.66" + ", 10.0.0.2" * 1000
        assert str(client_of(ip_address(PROXY), chain, TRUSTED)) == "10.0.0.2"


class TestAddressOf:
    @given(st.text())
    def test_takes_any_text(self, text: str) -> None:
        address = address_of(text)
        assert address is None or address_of(str(address)) == address
