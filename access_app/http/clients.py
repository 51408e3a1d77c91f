"""Where a request comes from: the one place that says which address a client has."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """The client's IP address as text, or an empty text where there is none (a Unix socket).

    What stands in ``REMOTE_ADDR`` is believed and nothing else: whoever trusts a proxy's headers writes it there.
    """
    try:
        address = ip_address(request.META.get("REMOTE_ADDR") or "")
    except ValueError:
        return ""
    # A socket that listens on :: shows an IPv4 client as ::ffff:192.0.2.1, which is the same client. A link-local
    # address names the interface of this host, as in fe80::1%eth0, which PostgreSQL's inet does not know.
    return str((isinstance(address, IPv6Address) and address.ipv4_mapped) or address).partition("%")[0]
