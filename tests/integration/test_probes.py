"""Probes come by address, whatever names the site is known by."""

from __future__ import annotations

import pytest
from django.test import Client


@pytest.mark.django_db
class TestProbesByAnyHost:
    @pytest.mark.parametrize("hosts", [["tasks.example.com"], [".example.com"], ["*"]])
    @pytest.mark.parametrize("path", ["/health/live", "/health/live/", "/health/ready"])
    def test_lets_a_probe_name_any_host(self, client: Client, settings: object, path: str, hosts: list[str]) -> None:
        settings.ALLOWED_HOSTS = hosts  # type: ignore[attr-defined]
        assert client.get(path, headers={"host": "10.0.0.7"}).status_code == 200

    @pytest.mark.parametrize("path", ["/tasks", "/health", "/admin/login/", "/"])
    def test_lets_nothing_else_pass(self, client: Client, settings: object, path: str) -> None:
        settings.ALLOWED_HOSTS = ["tasks.example.com"]  # type: ignore[attr-defined]
        assert client.get(path, headers={"host": "10.0.0.7"}).status_code == 400
