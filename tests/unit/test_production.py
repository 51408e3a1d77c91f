"""What the prod profile refuses, and that it refuses nothing that people make as they are told to."""

from __future__ import annotations

import random
import secrets
from ipaddress import ip_network

import pytest

from scheduler_project.production import hosts_problem, problem_of_token_key, refusals, secret_problem

GOOD = "J3vX0lq7Yk2mW9bTzR5cNf8aHs1uPd6e-GxQi4Lo"


class TestSecret:
    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("", "must be set"),
            ("short", "too short"),
            (GOOD[:31], "too short"),
            ("django-insecure-" + GOOD, "placeholder"),
            ("ChangeMe" + GOOD, "placeholder"),
            ("replace-this-with-a-long-random-text", "placeholder"),
            ("a" * 50, "guessed"),
            ("abc123" * 10, "guessed"),
            ("k7Qz!m2x" * 8, "guessed"),
            ("abcdefghijklmnopqrstuvwxyz0123456789", "guessed"),
            ("0123456789" * 5, "guessed"),
        ],
    )
    def test_that_is_none(self, text: str, problem: str) -> None:
        assert problem in str(secret_problem(text))

    def test_made_at_random_is_always_one(self) -> None:
        chance = random.Random(7)
        alphabets = ["0123456789abcdef", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"]
        made = ["".join(chance.choices(alphabet, k=32)) for alphabet in alphabets for _ in range(5000)]
        assert [
            text for text in [*made, secrets.token_urlsafe(48), secrets.token_hex(16)] if secret_problem(text)
        ] == []


class TestHosts:
    @pytest.mark.parametrize(
        "hosts", [[], ["*"], ["a.example", "*"], [".com"], ["https://a.example"], ["a.example:80"]]
    )
    def test_that_protect_from_nothing(self, hosts: list[str]) -> None:
        assert hosts_problem(hosts)

    @pytest.mark.parametrize("hosts", [["a.example"], [".example.com", "[::1]", "127.0.0.1", "localhost"]])
    def test_that_are_names(self, hosts: list[str]) -> None:
        assert hosts_problem(hosts) is None


def test_each_problem_names_its_variable() -> None:
    unsafe = refusals(secret_key="", debug=True, allowed_hosts=["*"], trusted_proxies=[ip_network("0.0.0.0/0")])
    assert set(unsafe) == {"SECRET_KEY", "DEBUG", "ALLOWED_HOSTS", "TRUSTED_PROXIES"}
    proxies = [ip_network("10.0.0.0/8"), ip_network("::1/128")]
    assert refusals(secret_key=GOOD, debug=False, allowed_hosts=["a.example"], trusted_proxies=proxies) == {}


class TestProblemOfTokenKey:
    @pytest.mark.parametrize(("length", "taken"), [(0, True), (31, False), (32, True)])
    def test_is_that_it_is_short(self, length: int, taken: bool) -> None:
        assert (problem_of_token_key("k" * length) is None) is taken
        assert (problem_of_token_key(f"{'n' * 40}, {'k' * length}") is None) is (length == 32)
