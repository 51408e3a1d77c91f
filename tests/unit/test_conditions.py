"""If-Match and If-None-Match, read as RFC 9110 writes them and as compressing servers change them."""

from __future__ import annotations

import pytest

from access_app.http.conditions import etag, if_match, is_fresh
from access_app.http.problems import Problem


class TestIfMatch:
    @pytest.mark.parametrize(
        ("header", "versions"),
        [
            (None, None),
            ("*", None),
            (" * ", None),
            ('"7"', {7}),
            ('W/"7"', {7}),
            ('"7-gzip"', {7}),
            ('W/"7-br"', {7}),
            ('"7;gzip"', {7}),
            ('"1", W/"2" ,"3"', {1, 2, 3}),
            ('"7-other"', set()),
            ('"07"', set()),
            ('"0"', {0}),  # of what nobody has set yet
            ('"01"', set()),
            ('"-7"', set()),
            ('""', set()),
            ('"a,b", "7"', {7}),
            ('"\xff"', set()),
            ('"99999999999"', set()),
        ],
    )
    def test_reads_versions(self, header: str | None, versions: set[int] | None) -> None:
        assert if_match(header) == (None if versions is None else frozenset(versions))

    @pytest.mark.parametrize(
        "header", ["", "7", '"7', '7"', 'w/"7"', '"7" "8"', '"7",', ',"7"', '*, "7"', '"\x00"', '"a b"']
    )
    def test_refuses_what_is_no_list_of_etags(self, header: str) -> None:
        with pytest.raises(Problem) as refused:
            if_match(header)
        assert refused.value.status == 400
        assert set(refused.value.errors) == {"If-Match"}

    def test_accepts_what_was_sent(self) -> None:
        assert if_match(etag(2_147_483_647)) == {2_147_483_647}


class TestIsFresh:
    @pytest.mark.parametrize(
        ("header", "fresh"),
        [(None, False), ("*", True), ('"7"', True), ('"6", W/"7"', True), ('"6"', False), ("7", False), ("", False)],
    )
    def test_compares_weakly_and_ignores_nonsense(self, header: str | None, fresh: bool) -> None:
        assert is_fresh(header, 7) is fresh
