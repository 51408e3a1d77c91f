"""The client's address: what the connection says, never what a header claims."""

from __future__ import annotations

import pytest
from django.test import RequestFactory

from access_app.http.clients import client_address


class TestClientAddress:
    @pytest.mark.parametrize(
        ("peer", "address"),
        [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:DB8:0::1", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("", ""),
            ("unix:", ""),
            ("not an address\x1b[2J", ""),
        ],
    )
    def test_is_the_connections(self, peer: str, address: str) -> None:
        request = RequestFactory().get("/", headers={"X-Forwarded-For": "198.51.100.1"}, REMOTE_ADDR=peer)
        assert client_address(request) == address
