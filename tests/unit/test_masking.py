"""That credentials are hidden under names of secrets, and in URLs wherever those stand."""

from __future__ import annotations

import json
import re
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_app.masking import mask_urls, masked, names_secret

SECRET = "s3cr3t"

#: What is shown where ``SECRET`` is hidden as ``*``.
URLS = [
    "https://api.example/x?token=*",
    "https://api.example/x?a=1&access_token=*&b=2#top",
    "https://api.example/x?TOKEN=*",
    "https://api.example/x?api_key=*&apikey=*&api-key=*",
    "https://api.example/x?key=*&q=key",
    "https://api.example/x?sig=*&se=2030-01-01",
    "https://bucket.example/o?X-Amz-Algorithm=a&X-Amz-Credential=*&X-Amz-Signature=*&X-Amz-Security-Token=*",
    "https://storage.example/o?X-Goog-Signature=*&X-Goog-Date=1",
    "https://api.example/x?client_secret=*&password=*&passwd=*&pwd=*&pass=*",
    "https://api.example/x?auth=*&jwt=*&session_id=*&sid=*",
    "https://api.example/cb#access_token=*&state=1",
    "https://api.example/x;jsessionid=*",
    "https://api.example/x?to%6ben=*",
    "https://api.example/x?%74%6f%6b%65%6e=*",
    "https://api.example/x?%2574oken=*",
    "https://api.example/x?a[token]=*&user.password=*",
    "https://joe:*@api.example/x?y=1",
    "https://*@api.example/x",
    "git+https://*@api.example/x",
    "postgresql://u:*@db/x?sslmode=require",
    "/relative?token=*",
    "?token=*",
    "token=*&grant_type=x",
    "curl -s 'https://api.example/x?token=*' | jq .",
    "GET /x?token=* HTTP/1.1",
    "<a href=/x?y=1&amp;token=*>",
    "see https://a.example/?token=* and https://joe:*@b.example/, too",
]
#: Where a value is hidden as a whole, as the secret stands in it, encoded or not.
NESTED = [
    "https://a.example/?next=https://b.example/?token={}",
    "https://a.example/?next=" + quote("https://b.example/?token={}", safe="{}"),
    "https://a.example/?next=" + quote(quote("https://b.example/?x=1&token={}", safe="{}"), safe="{}"),
    "https://a.example/?next=" + quote("https://joe:{}@b.example/", safe="{}"),
    "https://a.example/?a=" + quote("https://b.example/?b=" + quote("/c?sig={}", safe="{}"), safe="{}"),
]
#: Characters that a URL may hold as they are (RFC 3986 §2.2), and one that many write there all the same.
AWKWARD = {
    "https://joe@mail.example:s3cr3t@a.example/x": "https://joe@mail.example:*@a.example/x",
    "ftp://joe@mail.example:s3cr3t@a.example/x": "ftp://joe@mail.example:*@a.example/x",
    "postgresql://u:p@ss:w'rd@1@db/x": "postgresql://u:*@db/x",
    "//u:s3cr3t@db/x": "//u:*@db/x",
    "https://a.example/x?token=it's;one!$()*+,&y=1": "https://a.example/x?token=*&y=1",
    "https://a.example/x?token=one;two;three": "https://a.example/x?token=*",
    "https://a.example/?next=https%3A%2F%2Fjoe%3A%252F0000%40b.example%2F": "https://a.example/?next=*",
    "https://a.example/x;token=it's;y=1": "https://a.example/x;token=*;y=1",
}
HARMLESS = [
    "https://api.example/x?page=2&sort=name,desc&q=a%20token#part=3",
    "https://api.example:8443/a@b?keyword=x&signal=y&monkey=z&author=w&passenger=p",
    "host:80 a=b c==d ?=x &=y",
    "mailto:joe@example.com",
    "https://api.example/token/secret",
    "x = y; token = z",
    "ssh://git@host/repo",
    "{'https://api.example': 'joe@mail.example', 'http://b':'c@d'}",
    "//joe@mail.example",
    "",
]


class TestMaskUrls:
    @pytest.mark.parametrize("url", URLS)
    def test_hides_the_credentials_and_nothing_else(self, url: str) -> None:
        assert mask_urls(url.replace("*", SECRET), "*") == url

    @pytest.mark.parametrize("url", NESTED)
    def test_hides_them_in_urls_in_urls(self, url: str) -> None:
        shown = mask_urls(url.format(SECRET), "*")
        assert SECRET not in shown
        assert shown.startswith("https://a.example/?")

    @pytest.mark.parametrize("url", AWKWARD)
    def test_hides_all_of_a_secret_with_any_character_of_a_url(self, url: str) -> None:
        assert mask_urls(url, "*") == AWKWARD[url]

    @pytest.mark.parametrize("text", HARMLESS)
    def test_leaves_the_rest_as_it_is(self, text: str) -> None:
        assert mask_urls(text, "*") == text

    @given(
        st.sampled_from([url for url in URLS if url.count("*") == 1] + [url.replace("{}", "*") for url in NESTED]),
        st.text("abcXYZ019-._~+/:%=,!", min_size=6, max_size=30).filter(lambda text: "/" not in text[1:]),
    )
    def test_shows_no_part_of_a_secret_of_any_form(self, url: str, secret: str) -> None:
        if re.search(r"(/|:|%2F|%3A)\*(@|%40)", url):  # what is in front of the path takes no bare slash
            secret = quote(secret, safe="")
        if "%" in url.partition("?")[2]:
            secret = quote(secret, safe="")
        shown = mask_urls(url.replace("*", secret), "•")
        assert secret not in shown
        assert "•" in shown

    @given(st.text('?&#;=%@:/"\\ atoken', max_size=60))
    def test_can_be_repeated_and_keeps_json_whole(self, text: str) -> None:
        shown = mask_urls(json.dumps({"text": text}), "***")
        assert isinstance(json.loads(shown)["text"], str)
        assert mask_urls(shown, "***") == shown

    @pytest.mark.parametrize(
        "piece",
        [
            "a",
            "?",
            "=",
            "?a=",
            "://",
            "://a:",
            "%25",
            "?a=%",
            "&a=b?a=",
            "@://",
            "a=%3Fa%3D",
            "@",
            "a:",
            ";a",
            "'a",
            ";a'",
        ],
    )
    def test_costs_time_in_proportion_to_the_text(self, piece: str) -> None:
        text = piece * (50_000 // len(piece))
        began = time.thread_time()
        for around in ("{}", "{} ://@=", "://{} =", "?token={} @//", "//{} x@="):
            mask_urls(around.format(text), "*")
        assert time.thread_time() - began < 1


class TestMasked:
    def test_walks_all_of_a_value(self) -> None:
        value = {"headers": {"Location": f"/x?token={SECRET}", "X-Api-Key": SECRET}, "argv": [f"/?key={SECRET}", 1]}
        assert masked(value, "*") == {
            "headers": {"Location": "/x?token=*", "X-Api-Key": "*"},
            "argv": ["/?key=*", 1],
        }


class TestNamesSecret:
    @pytest.mark.parametrize("name", ["Authorization", "Cookie", "X-Amz-Security-Token", "DB_PASSWORD", "database_url"])
    def test_knows_the_names(self, name: str) -> None:
        assert names_secret(name)

    @pytest.mark.parametrize("name", ["key", "idempotency_key", "concurrencyKey", "Accept", "passed", "signature"])
    def test_takes_no_other_name_for_one(self, name: str) -> None:
        assert not names_secret(name)
