"""Which failures are alike: shapes of messages, and that none of them takes long to read."""

from __future__ import annotations

import time
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_app.fingerprints import FINGERPRINT, LOOKED_AT, SOME, fingerprint_of, shape_of

#: What is another one each time.
CHANGING = st.one_of(
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False, min_value=0, max_value=1e9).map("{:.3f}".format),
    st.uuids().map(str),
    st.uuids().map(lambda each: each.hex),
    st.datetimes().map(lambda each: each.strftime("%Y-%m-%d %H:%M:%S")),
    st.ip_addresses(v=4).map(str),
    st.integers(0, 2**64).map(hex),
)
WORDS = st.lists(
    st.sampled_from(["order", "failed:", "for", "(user)", "no", "/srv/app", "can't", "-", "é"]), min_size=1
)
#: Pieces that patterns begin with, and that lead nowhere.
HOSTILE = [
    *(
        "'",
        '"',
        "`",
        "“",
        "a",
        "a.",
        "a@",
        "@",
        "://",
        "a://",
        ":",
        "::",
        "f",
        "0",
        "0f-",
        "#",
        "# ",
        "#,",
        "<text> ",
        "_",
    ),
    *("00000000-", "x1", " ", "\n", "\u202e", "\ud800", "٣", "a-", "+", "1.", "1:"),
]


class TestShapeOf:
    @pytest.mark.parametrize(
        ("message", "shape"),
        [
            ("order 41 failed", "order # failed"),
            ("order 7f3a9b2c failed", "order # failed"),
            ("order deadbee1 failed", "order # failed"),
            ("order x7Kp9Q2z failed", "order # failed"),
            ("order 0193c2a4-7b1e-7cc0-8f6e-2f1d3c4b5a69 failed", "order # failed"),
            ("took 3.25 s", "took # s"),
            ("took 12s", "took #s"),
            ("at 2030-01-31T12:00:00.123Z", "at #T#Z"),
            ("10.0.0.1:5432 refused", "# refused"),
            ("fe80::1 and 2001:db8::ff00:42:8329 refused", "# and # refused"),
            ("at 12:30:45", "at #"),
            ("std::vector", "std::vector"),
            ("KeyError: 'name'", "KeyError: <text>"),
            ('no such file: "/data/a b.csv"', "no such file: <text>"),
            ("can't find it, doesn't matter", "can't find it, doesn't matter"),
            ("GET https://api.example/v1/x?token=1 failed", "GET <url> failed"),
            ("\u201cmaria\u201d or \u00abx\u00bb", "<text> or <text>"),
            ("GET 'https://api.example/' failed", "GET <text> failed"),
            ("maria+x@example.com bounced", "<address> bounced"),
            ("missing: 1, 2, 3", "missing: #"),
            ("missing: 'a', 'b'", "missing: <text>"),
            ("cannot run /usr/bin/report: not found", "cannot run /usr/bin/report: not found"),
            ("cannot read /data/2030/77.csv", "cannot read /data/#.csv"),
            ("  two\n\tlines  ", "two lines"),
            ("utf8 is not utf16", "utf# is not utf#"),
            ("", ""),
        ],
    )
    def test_leaves_out_what_is_another_one_each_time(self, message: str, shape: str) -> None:
        assert shape_of(message) == shape

    @given(words=WORDS, at=st.integers(0, 9), one=CHANGING, other=CHANGING)
    def test_is_the_same_whichever_number_or_id_stands_in_it(
        self, words: list[str], at: int, one: str, other: str
    ) -> None:
        """Each as a word of its own; what a shape has in its place depends on its kind, and on nothing else."""
        place = at % (len(words) + 1)

        def shape(changing: str) -> str:
            found = shape_of(" ".join([*words[:place], changing, *words[place:]]))
            return found.replace("-#", SOME).replace("# #", SOME)

        assert shape(one) == shape(other)

    @given(st.text(max_size=50))
    def test_goes_by_the_beginning_alone(self, rest: str) -> None:
        assert shape_of("x" * LOOKED_AT + rest) == "x" * LOOKED_AT

    @pytest.mark.parametrize("piece", HOSTILE, ids=ascii)
    def test_is_found_in_the_time_of_one_reading(self, monkeypatch: pytest.MonkeyPatch, piece: str) -> None:
        """64 KiB of what patterns begin with in vain, all of it looked at: a quadratic one takes many seconds."""
        monkeypatch.setattr("tasks_app.fingerprints.LOOKED_AT", 65_536)
        message = piece * (65_536 // len(piece)) + "!"
        began = time.process_time()
        shape_of(message)
        assert time.process_time() - began < 0.5


class TestFingerprintOf:
    def test_is_short_and_stays_the_same_over_releases(self) -> None:
        found = fingerprint_of("HTTP", "HTTP_STATUS", "answered 503 Service Unavailable")
        assert FINGERPRINT.fullmatch(found)
        assert found == "355e2821625e255a"

    def test_tells_types_and_codes_apart(self) -> None:
        asked = {(kind, code) for kind in ("HTTP", "SHELL") for code in ("NETWORK", "INTERNAL")}
        assert len({fingerprint_of(kind, code, "x") for kind, code in asked}) == 4

    @pytest.mark.parametrize("code", ["HTTP_STATUS", "EXIT_CODE"])
    def test_tells_statuses_and_exit_codes_apart(self, code: str) -> None:
        assert fingerprint_of("X", code, "ended with 404") != fingerprint_of("X", code, "ended with 500")
        assert fingerprint_of("X", "TASK_FAILED", "order 404") == fingerprint_of("X", "TASK_FAILED", "order 500")

    @given(st.text(), st.uuids(), st.uuids())
    def test_is_one_for_messages_of_one_shape(self, words: str, one: UUID, other: UUID) -> None:
        first, second = (fingerprint_of("X", "NETWORK", f"{words[:100]} {each}") for each in (one, other))
        assert first == second
