"""Odd answers of peers on loopback: how they are framed, compressed and written, and which of them are complete."""

from __future__ import annotations

import gzip
import logging
import random
import socket
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks_app.executors.http_framing import MAX_HEADERS, MAX_INTERIM
from tasks_app.executors.http_reply import MAX_BODY, MAX_WIRE
from tasks_app.states import ErrorCode, ExecutionStatus
from tests.support.http_attempts import assert_body, assert_network, assert_plain, run
from tests.support.peers import Peer, Received, says

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
FIVE = b"Content-Length: 5\r\n\r\nabcde"

#: Answers, the body that is in them, and the request's method if it matters.
WHOLE: dict[str, tuple[bytes, bytes] | tuple[bytes, bytes, str]] = {
    "chunked": (CHUNKED + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n", b"abcde"),
    "chunks with odd extensions": (CHUNKED + b'3 ;a="b;c"\r\nabc\r\n002 \t\r\nde\r\n000\r\n\r\n', b"abcde"),
    "chunks with bare line feeds": (CHUNKED + b"3\nabc\n2\nde\n0\n\n", b"abcde"),
    "chunked, no trailers": (CHUNKED + b"5\r\nabcde\r\n0\r\n", b"abcde"),
    "chunked in another case": (OK + b"transfer-encoding:  CHUNKED \r\n\r\n5\r\nabcde\r\n0\r\n\r\n", b"abcde"),
    "chunked and a length": (OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b""),
    "chunked and a bad length": (OK + b"Content-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b""),
    "coding identity": (OK + b"Transfer-Encoding: identity\r\n" + FIVE, b"abcde"),
    "identity and chunked": (OK + b"Transfer-Encoding: identity, chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n", b"abcde"),
    "until close": (b"HTTP/1.0 200 OK\r\n\r\nabcde", b"abcde"),
    "longer than its length": (OK + FIVE + b"NOT THIS", b"abcde"),
    "length with blanks": (OK + b"Content-Length: \t 5 \t\r\n\r\nabcde", b"abcde"),
    "length with zeros": (OK + b"Content-Length: 0000000000000000000000005\r\n\r\nabcde", b"abcde"),
    "length twice": (OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcdeNOT", b"abcde"),
    "length twice in a line": (OK + b"Content-Length: 5, 5\r\n\r\nabcdeNOT", b"abcde"),
    "blank before the colon": (OK + b"Content-Length : 5\r\n\r\nabcdeNOT", b"abcde"),
    "after 100": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + FIVE, b"abcde"),
    "after 103": (b"HTTP/1.1 103 Hints\r\nLink: x\r\nContent-Length: 9\r\n\r\n" * 2 + OK + FIVE, b"abcde"),
    "after as many as may be": (b"HTTP/1.1 102 Wait\r\n\r\n" * MAX_INTERIM + OK + FIVE, b"abcde"),
    "after a line that is no header": (OK + b"what?\r\n folded\r\n: x\r\n\xff: y\r\n" + FIVE + b"NOT", b"abcde"),
    "From at the beginning": (OK + b"From me to you\r\n" + FIVE + b"NOT", b"abcde"),
    "a folded header": (OK + b"X: a\r\n b\r\n" + FIVE + b"NOT", b"abcde"),
    "bare carriage returns": (OK + b"X: a\rContent-Length: 2\r\n" + FIVE + b"NOT", b"abcde"),
    "as many headers as may be": (OK + b"X: y\r\n" * (MAX_HEADERS - 1) + FIVE, b"abcde"),
    "HEAD": (OK + b"Content-Length: 5\r\n\r\n", b"", "HEAD"),
    "HEAD of a chunked one": (CHUNKED, b"", "HEAD"),
    "HEAD of a compressed one": (OK + b"Content-Encoding: gzip\r\nContent-Length: 50\r\n\r\n", b"", "HEAD"),
    "HEAD with a bad length": (OK + b"Content-Length: x\r\n\r\n", b"", "HEAD"),
    "204": (b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", b""),
    "204 that says chunked": (b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", b""),
    "204 that says gzip": (b"HTTP/1.1 204 No\r\nContent-Encoding: gzip\r\n\r\n", b""),
    "304": (b"HTTP/1.1 304 No\r\nContent-Length: 5\r\nContent-Encoding: gzip\r\n\r\n", b""),
    "101": (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n\x00\x01", b""),
}

#: Answers that are no complete HTTP/1.1, and the words for them.
BROKEN: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "closed the connection without one"),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\x00secret-free\r\n", "does not speak HTTP/1"),
    "binary": (bytes(range(256)) * 10, "does not speak HTTP/1"),
    "no status": (b"HTTP/1.1\r\n\r\n", "does not speak HTTP/1"),
    "status no number": (b"HTTP/1.1 abc OK\r\n\r\n", "does not speak HTTP/1"),
    "status of four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", "does not speak HTTP/1"),
    "status with a sign": (b"HTTP/1.1 +200 OK\r\nContent-Length: 0\r\n\r\n", "does not speak HTTP/1"),
    "status with a zero before it": (b"HTTP/1.1 0200 OK\r\nContent-Length: 0\r\n\r\n", "does not speak HTTP/1"),
    "status with an underscore": (b"HTTP/1.1 2_00 OK\r\nContent-Length: 0\r\n\r\n", "does not speak HTTP/1"),
    "another version": (b"HTTP/2.0 200 OK\r\n\r\n", "does not speak HTTP/1"),
    "end in the status line": (b"HTTP/1.1 200", "ended within its headers"),
    "end in the headers": (OK + b"Server: x\r\n", "ended within its headers"),
    "end within a header": (OK + b"Serv", "ended within its headers"),
    "end after an interim answer": (b"HTTP/1.1 103 Hints\r\n\r\n", "closed the connection without one"),
    "end in an interim answer": (b"HTTP/1.1 100 Go\r\nX: y\r\n", "ended within its headers"),
    "too many headers": (OK + b"X: y\r\n" * 200 + b"\r\n", f"more than {MAX_HEADERS} headers"),
    "ten thousand headers": (OK + b"X: y\r\n" * 10_000 + b"\r\n", f"more than {MAX_HEADERS} headers"),
    "lines without end that are no headers": (OK + b"y\r\n" * 200_000 + b"\r\n", "headers are longer than 256 KiB"),
    "headers of many lines": (OK + b"X: y\r\n" + b" y\r\n" * 200_000 + b"\r\n", f"more than {MAX_HEADERS} headers"),
    "large headers": (OK + (b"X: " + b"y" * 60_000 + b"\r\n") * 9 + b"\r\n", "headers are longer than 256 KiB"),
    "endless header": (OK + b"X: " + b"y" * 300_000, "a line of its headers is longer than 64 KiB"),
    "endless status line": (b"HTTP/1.1 200 " + b"y" * 100_000, "a line of its headers is longer than 64 KiB"),
    "too many interim answers": (b"HTTP/1.1 103 Hints\r\n\r\n" * 1000, f"more than {MAX_INTERIM} interim answers"),
    "too many of another kind": (b"HTTP/1.1 100 Go\r\n\r\n" * 1000, f"more than {MAX_INTERIM} interim answers"),
    "too many of all kinds": (
        b"".join(b"HTTP/1.1 %d Go\r\n\r\n" % status for status in (100, 102, 103, 199)) * 10 + OK + FIVE,
        f"more than {MAX_INTERIM} interim answers",
    ),
    "short body": (OK + b"Content-Length: 10\r\n\r\nabc", "ended after 3 of 10 bytes"),
    "no body": (OK + b"Content-Length: 10\r\n\r\n", "ended after 0 of 10 bytes"),
    "short compressed body": (
        OK + b"Content-Encoding: gzip\r\nContent-Length: 99\r\n\r\n" + gzip.compress(b"abcde"),
        "ended after 25 of 99 bytes",
    ),
    **{
        f"length {value!r}": (OK + b"Content-Length: " + value + b"\r\n\r\nabcde", "Content-Length that is no number")
        for value in (b"", b"x", b"5x", b"-5", b"+5", b"5.0", b"5 5", b"5,", b"0x5", b"5_0", b"\xb2", b"1" + b"0" * 30)
    },
    "a length in two lines": (OK + b"Content-Length: 5\r\n 5\r\n\r\nabcde", "Content-Length that is no number"),
    "two lengths": (OK + b"Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde", "two different Content-Length"),
    "two lengths in a line": (OK + b"Content-Length: 3, 5\r\n\r\nabcde", "two different Content-Length"),
    "a length and none": (OK + b"Content-Length: 5\r\nContent-Length: x\r\n\r\nabcde", "Content-Length that is no"),
    **{
        f"transfer coding {value!r}": (
            OK + b"Transfer-Encoding: " + value + b"\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
            "a Transfer-Encoding that was not asked for",
        )
        for value in (b"gzip, chunked", b"chunked, gzip", b"gzip", b"chunked, chunked", b"x", b"chunked;q=1")
    },
    "two transfer codings": (
        OK + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        "a Transfer-Encoding that was not asked for",
    ),
    **{
        f"chunk size {size!r}": (CHUNKED + size + b"\r\nabcdefgh\r\n0\r\n\r\n", "chunk without a size")
        for size in (b"xyz", b"", b"-1", b"+3", b"0x3", b" 3", b"1_0", b"3 3", b"f" * 17, b"\xb3")
    },
    "endless chunk size": (CHUNKED + b"0" * 100_000, "chunk without a size"),
    "endless chunk extension": (CHUNKED + b"3;" + b"x" * 100_000 + b"\r\nabc\r\n0\r\n\r\n", "chunk without a size"),
    "large chunk extensions": (
        CHUNKED + (b"1;" + b"x" * 15_000 + b"\r\na\r\n") * 100 + b"0\r\n\r\n",
        "more than 512 KiB of chunk sizes",
    ),
    "end at once": (CHUNKED, "ended before its last chunk"),
    "end in a chunk": (CHUNKED + b"ff\r\nabc", "ended before its last chunk"),
    "end after a chunk": (CHUNKED + b"3\r\nabc", "ended before its last chunk"),
    "end before the last chunk": (CHUNKED + b"3\r\nabc\r\n", "ended before its last chunk"),
    "end in the last chunk": (CHUNKED + b"3\r\nabc\r\n0", "ended before its last chunk"),
    "end in a chunk size": (CHUNKED + b"3\r\nabc\r\n1", "ended before its last chunk"),
    "chunk longer than it says": (CHUNKED + b"3\r\nabcde\r\n0\r\n\r\n", "chunk that is not as long as it says"),
    "chunk shorter than it says": (CHUNKED + b"5\r\nabc\r\n0\r\n\r\n", "chunk that is not as long as it says"),
}


def one_byte_chunks(count: int) -> bytes:
    return CHUNKED + b"1\r\nx\r\n" * count + b"0\r\n\r\n"


class TestFraming:
    @pytest.mark.parametrize("name", WHOLE)
    def test_of_a_whole_answer(self, name: str) -> None:
        answer, body, *method = WHOLE[name]
        with Peer(says(answer)) as peer:
            outcome = run(peer.url(), method=method[0] if method else "GET", expectedStatus=["100-399"])
        assert_body(outcome, body.decode(), truncated=False)

    @pytest.mark.parametrize("name", [name for name, whole in WHOLE.items() if "until" not in name])
    def test_says_where_an_answer_ends_when_the_connection_stays(self, name: str) -> None:
        def answers(peer: Peer, connection: socket.socket, _: Received) -> None:
            connection.sendall(answer)
            peer.leaving.wait(10)

        answer, body, *method = WHOLE[name]
        with Peer(answers) as peer:
            outcome = run(peer.url(), method=method[0] if method else "GET", expectedStatus=["100-399"])
        assert_body(outcome, body.decode(), truncated=False)

    @pytest.mark.parametrize("name", BROKEN)
    def test_that_is_broken_is_a_network_failure(self, name: str, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        answer, words = BROKEN[name]
        with Peer(says(answer)) as peer:
            outcome = run(peer.url("/?token=secret"), expectedStatus=["200-599"])
        assert_network(outcome, f"^no complete answer: .*{words}")
        assert caplog.records == []  # peers and URLs get no say in the worker's log

    @pytest.mark.parametrize("name", ["short body", "end in a chunk", "chunk longer than it says"])
    def test_keeps_what_came_before_it_broke(self, name: str) -> None:
        with Peer(says(BROKEN[name][0])) as peer:
            outcome = run(peer.url())
        assert outcome.result is not None
        kept = {key: outcome.result[key] for key in ("statusCode", "body", "bodyTruncated")}
        assert kept == {"statusCode": 200, "body": "abc", "bodyTruncated": True}

    def test_is_read_as_far_as_something_is_kept(self) -> None:
        """What is broken behind that is not looked at."""
        for broken in (OK + b"Content-Length: 999999\r\n\r\n", CHUNKED + b"ffffff\r\n"):
            with Peer(says(broken + b"x" * (MAX_BODY + 20_000))) as peer:
                assert_body(run(peer.url()), "x" * MAX_BODY, truncated=True)

    @settings(max_examples=40, deadline=None)
    @given(st.data())
    def test_notices_every_cut(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(["chunked", "chunks with odd extensions", "length twice", "a folded header"]))
        answer = WHOLE[name][0].removesuffix(b"NOT").removesuffix(b"Trailer: t\r\n\r\n")
        cut = data.draw(st.integers(0, len(answer) - 3))
        with Peer(says(answer[:cut])) as peer:
            assert_network(run(peer.url()), "no complete answer")


PIECES = [
    *(b"\r", b"\n", b"\r\n\r\n", b":", b"\0", b"\xff", b"0\r\n", b"9", b"-", b","),
    *(b"chunked", b"HTTP/1.1 100 X\r\n\r\n", b"\x1f\x8b"),
]


class TestAnyAnswer:
    @settings(max_examples=80, deadline=None)
    @given(st.data())
    def test_ends_in_an_outcome_with_words(self, data: st.DataObject) -> None:
        """Good and bad answers with a few bytes lost, doubled or put in: nothing raises, nothing hangs."""
        table = [whole[0] for whole in WHOLE.values()] + [broken[0][:5000] for broken in BROKEN.values()]
        table += [coded(data, coding) for coding, data, _ in (*CODED.values(), *DAMAGED.values())]
        answer = bytearray(data.draw(st.sampled_from(table)))
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(answer)))
            answer[at : at + data.draw(st.integers(0, 3))] = data.draw(st.sampled_from(PIECES) | st.binary(max_size=3))
        with Peer(says(bytes(answer))) as peer:
            outcome = run(peer.url(), expectedStatus=["100-599"])
        if outcome.status is not ExecutionStatus.SUCCESS:
            assert outcome.error_code in {ErrorCode.NETWORK, ErrorCode.HTTP_STATUS}
            assert_plain(outcome.error_message)


class TestEffort:
    """What a peer can make a worker do in one attempt: CPU time is measured in the thread that attempts."""

    @pytest.mark.parametrize(
        ("answer", "most"),
        [
            (b"HTTP/1.1 103 Hints\r\n\r\n" * 200_000, 0.2),
            ((b"HTTP/1.1 103 Hints\r\n" + b"X: y\r\n" * 90 + b"\r\n") * 1000, 0.2),
            (OK + b"X: y\r\n" * 200_000, 0.2),
            (OK + b"y\r\n" * 200_000, 1.0),
            (OK + b"X: y\r\n" + b" y\r\n" * 200_000, 0.5),
            (OK + (b"X" * 60_000 + b"\r\n") * 50, 0.2),
            (one_byte_chunks(200_000), 4.0),
            (CHUNKED + b"5\r\nabcde\r\n0\r\n" + b"Trailer: x\r\n" * 200_000, 0.2),
        ],
        ids=["interim", "fat interim", "headers", "odd lines", "folded", "long names", "chunks", "trailers"],
    )
    def test_is_bounded(self, answer: bytes, most: float) -> None:
        with Peer(says(answer)) as peer:
            began = time.thread_time()
            run(peer.url())
            assert time.thread_time() - began < most


def coded(data: bytes, coding: str, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(data)}", f"Content-Encoding: {coding}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + data


def zipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def raw(data: bytes) -> bytes:
    return zlib.compress(data)[2:-4]


A, B = b"first " * 20, b"second " * 20
NOISE = random.Random(1).randbytes(5000)

FULL_HEADER = b"\x1f\x8b\x08\x1e" + bytes(6) + b"\x03\x00abc" + b"name\0" + b"comment\0"
FULL_HEADER += (zlib.crc32(FULL_HEADER) & 0xFFFF).to_bytes(2, "little")

CODED: dict[str, tuple[str, bytes, bytes]] = {
    "gzip": ("gzip", zipped(A), A),
    "x-gzip": ("x-gzip", zipped(A), A),
    "upper case": (" GZIP ", zipped(A), A),
    "two members": ("gzip", zipped(A) + zipped(B), A + B),
    "empty members": ("gzip", zipped(b"") + zipped(A) + zipped(b"") + zipped(b"") + zipped(B) + zipped(b""), A + B),
    "only empty members": ("gzip", zipped(b"") * 3, b""),
    "thousands of members": ("gzip", zipped(b"") * 5000 + zipped(A), A),
    "zeros behind": ("gzip", zipped(A) + bytes(1000), A),
    "zeros between": ("gzip", zipped(A) + bytes(1000) + zipped(B), A + B),
    "garbage behind": ("gzip", zipped(A) + b"garbage", A),
    "garbage behind zeros": ("gzip", zipped(A) + bytes(3) + b"\x1fgarbage" + zipped(B), A),
    "a member with every field": ("gzip", FULL_HEADER + raw(A) + zipped(A)[-8:], A),
    "no body": ("gzip", b"", b""),
    "no body, deflate": ("deflate", b"", b""),
    "no body, two codings": ("deflate, gzip", b"", b""),
    "deflate": ("deflate", zlib.compress(A), A),
    "raw deflate": ("deflate", raw(A), A),
    "deflate, garbage behind": ("deflate", zlib.compress(A) + b"garbage" + zlib.compress(B), A),
    "raw deflate, garbage behind": ("deflate", raw(A) + b"garbage", A),
    "deflate of a small window": ("deflate", b"\x28\x15" + zlib.compress(A)[2:], A),
    "identity": ("identity", A, A),
    "none": ("", A, A),
    "commas": (" , ,", A, A),
    "identity and gzip": ("identity, gzip", zipped(A), A),
    "gzip twice": ("gzip, gzip", zipped(zipped(A) + zipped(B)), A + B),
    "deflate, then gzip": ("deflate, gzip", zipped(zlib.compress(A)), A),
    "gzip, then deflate": ("gzip, deflate", zlib.compress(zipped(A) + zipped(B)), A + B),
    "three codings": ("gzip,deflate,x-gzip", zipped(raw(zipped(A) + zipped(B))), A + B),
}

CUT, OTHER = "ends too early", "is not what its Content-Encoding says"
DAMAGED: dict[str, tuple[str, bytes, str]] = {
    "half of it": ("gzip", zipped(NOISE)[:2500], CUT),
    "all but a byte": ("gzip", zipped(A)[:-1], CUT),
    "all but its checksum": ("gzip", zipped(A)[:-8], CUT),
    "its first byte": ("gzip", zipped(A)[:1], CUT),
    "its header": ("gzip", zipped(A)[:10], CUT),
    "half of the second member": ("gzip", zipped(A) + zipped(NOISE)[:2500], CUT),
    "second member but for a byte": ("gzip", zipped(A) + zipped(B)[:-1], CUT),
    "first byte of the second member": ("gzip", zipped(A) + b"\x1f", CUT),
    "first bytes of the second member": ("gzip", zipped(A) + b"\x1f\x8b", CUT),
    "second member behind zeros": ("gzip", zipped(A) + bytes(9) + zipped(B)[:-1], CUT),
    "half of the inner one": ("gzip, gzip", zipped(zipped(NOISE)[:2500]), CUT),
    "half of the outer one": ("gzip, gzip", zipped(zipped(NOISE))[:2500], CUT),
    "deflate but for a byte": ("deflate", zlib.compress(A)[:-1], CUT),
    "a byte of deflate": ("deflate", zlib.compress(A)[:1], CUT),
    "raw deflate but for a byte": ("deflate", raw(NOISE)[:-1], CUT),
    "zeros only": ("gzip", bytes(50), OTHER),
    "not gzip": ("gzip", b"abc", OTHER),
    "deflate, not gzip": ("gzip", zlib.compress(A), OTHER),
    "another method": ("gzip", b"\x1f\x8b\x07" + zipped(A)[3:], OTHER),
    "wrong checksum": ("gzip", zipped(A)[:-8] + b"\0\0\0\0" + zipped(A)[-4:], OTHER),
    "wrong length": ("gzip", zipped(A)[:-4] + b"\0\0\0\0", OTHER),
    "second member damaged": ("gzip", zipped(A) + zipped(B)[:-1] + b"\xff", OTHER),
    "noise in a member": ("gzip", zipped(A)[:10] + b"\xff" * 50, OTHER),
    "not deflate": ("deflate", b"\xff" * 50, OTHER),
    "wrong checksum of deflate": ("deflate", zlib.compress(A)[:-1] + b"\0", OTHER),
    "deflate with a dictionary": (
        "deflate",
        b"\x78\x20" + zlib.compress(A)[2:],
        OTHER,
    ),
    "inner one damaged": ("gzip, gzip", zipped(A), OTHER),
}


def in_bytes(data: bytes) -> bytes:
    """The same, in chunks of one byte."""
    head, _, body = data.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    chunks = b"".join(b"1\r\n" + body[at : at + 1] + b"\r\n" for at in range(len(body)))
    return b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", chunks]) + b"0\r\n\r\n"


@pytest.fixture(params=[bytes, in_bytes], ids=["at once", "in bytes"])
def framed(request: pytest.FixtureRequest) -> Callable[[bytes], bytes]:
    made: Callable[[bytes], bytes] = request.param
    return made


class TestContentEncoding:
    @pytest.mark.parametrize("name", [name for name in CODED if "thousands" not in name])
    def test_is_undone(self, name: str, framed: Callable[[bytes], bytes]) -> None:
        coding, data, body = CODED[name]
        with Peer(says(framed(coded(data, coding)))) as peer:
            assert_body(run(peer.url()), body.decode(), truncated=False)

    def test_of_thousands_of_members_is_undone(self) -> None:
        coding, data, body = CODED["thousands of members"]
        with Peer(says(coded(data, coding))) as peer:
            assert_body(run(peer.url()), body.decode(), truncated=False)

    @pytest.mark.parametrize("name", DAMAGED)
    def test_that_does_not_hold_is_a_network_failure(self, name: str, framed: Callable[[bytes], bytes]) -> None:
        coding, data, words = DAMAGED[name]
        with Peer(says(framed(coded(data, coding)))) as peer:
            assert_network(run(peer.url()), f"no complete answer: the compressed body {words}")

    def test_keeps_what_could_be_read(self) -> None:
        with Peer(says(coded(zipped(A) + zipped(B)[:-1], "gzip"))) as peer:
            outcome = run(peer.url())
        assert outcome.result is not None
        assert (outcome.result["body"], outcome.result["bodyTruncated"]) == ((A + B).decode(), True)

    def test_may_come_in_several_headers(self) -> None:
        answer = coded(zipped(zlib.compress(A)), "deflate", "Content-Encoding: gzip")
        with Peer(says(answer)) as peer:
            assert_body(run(peer.url()), A.decode(), truncated=False)

    @pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, br", "br, gzip", "aes128gcm", "gzip," * 20])
    @pytest.mark.parametrize("body", [A, b""])
    def test_that_is_not_known_leaves_the_body_out_and_says_so(self, coding: str, body: bytes) -> None:
        with Peer(says(coded(body, coding))) as peer:
            outcome = run(peer.url())
        assert_body(outcome, "", truncated=bool(body))
        assert outcome.result is not None
        assert ("bodyNote" in outcome.result) is bool(body)
        if body:
            assert coding.split(",")[0] in outcome.result["bodyNote"]
            assert "Accept-Encoding" in outcome.result["bodyNote"]

    def test_that_is_not_known_does_not_hide_a_cut(self) -> None:
        with Peer(says(coded(A, "br")[:-1])) as peer:
            assert_network(run(peer.url()), "ended after")

    @pytest.mark.parametrize("coding", ["gzip", "deflate", "gzip, gzip", "deflate, gzip"])
    def test_is_undone_as_far_as_something_is_kept(self, coding: str) -> None:
        """Whether the rest is whole is not looked at: it is not read."""
        data = random.Random(2).randbytes(100_000).hex().encode()
        packed = data
        for layer in coding.split(", "):
            packed = zipped(packed) if layer == "gzip" else zlib.compress(packed)
        with Peer(says(coded(packed[:-1], coding))) as peer:
            assert_body(run(peer.url()), data[:MAX_BODY].decode(), truncated=True)

    def test_that_yields_nothing_is_read_for_a_while_only(self) -> None:
        packed = gzip.compress(b"")[:10] + b"\x00\x00\x00\xff\xff" * MAX_WIRE  # empty stored blocks
        with Peer(says(coded(packed, "gzip"))) as peer:
            assert_body(run(peer.url()), "", truncated=True)

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.binary(max_size=300), min_size=1, max_size=4),
        st.sampled_from(["gzip", "deflate", "raw"]),
        st.sampled_from(["", "gzip", "deflate"]),
        st.integers(0, 9),
        st.data(),
    )
    def test_is_undone_whatever_it_is_and_a_cut_is_noticed(
        self, parts: list[bytes], inner: str, outer: str, level: int, data: Any
    ) -> None:
        whole = b"".join(parts).hex().encode()
        if inner == "gzip":
            packed = b"".join(gzip.compress(part.hex().encode(), level) for part in parts)
        else:
            packed = zlib.compress(whole, level)
            packed = packed[2:-4] if inner == "raw" else packed
        ends = {0}  # where a cut leaves something whole
        if inner == "gzip" and not outer:
            ends = {
                sum(len(gzip.compress(part.hex().encode(), level)) for part in parts[:n]) for n in range(len(parts))
            }
        if outer:
            packed = gzip.compress(packed) if outer == "gzip" else zlib.compress(packed)
        coding = ", ".join(filter(None, ["deflate" if inner == "raw" else inner, outer]))
        cut = data.draw(st.integers(1, len(packed) - 1).filter(lambda at: at not in ends))
        with Peer(
            lambda _, sock, got: sock.sendall(coded(packed if got.target == "/" else packed[:cut], coding))
        ) as peer:
            assert_body(run(peer.url()), whole.decode(), truncated=False)
            assert_network(run(peer.url("/cut")), "the compressed body ends too early")
