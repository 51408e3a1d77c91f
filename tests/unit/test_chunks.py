"""Output as it is stored: whole lines, masked, each chunk with its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_app.masking import MASK
from tasks_app.executors.chunks import Chunk, Chunks, secrets_of
from tasks_app.executors.emitting import Dropped, Piece


def pieces(*data: bytes, stream: str = "stdout") -> list[Piece | Dropped]:
    return [Piece(stream, each, 0.0) for each in data]


def texts(chunks: list[Chunk]) -> list[str]:
    return [chunk.text for chunk in chunks]


class TestChunks:
    def test_are_whole_lines_with_their_places(self) -> None:
        cut = Chunks()
        assert cut.add(pieces(b"one\ntwo\nth")) == [Chunk(8, 8, 1, 0.0, "stdout", "one\ntwo\n")]
        assert cut.add(pieces(b"ree\n")) == [Chunk(14, 6, 3, 0.0, "stdout", "three\n")]
        assert cut.add(pieces(b"end")) == []
        assert cut.add([], last=True) == [Chunk(17, 3, 4, 0.0, "stdout", "end")]

    def test_are_of_one_stream_each_in_the_order_of_writing(self) -> None:
        taken = [Piece("stdout", b"a\nb", 1.0), Piece("stderr", b"oh\n", 2.0), Piece("stdout", b"c\n", 3.0)]
        assert [(chunk.stream, chunk.at, chunk.text) for chunk in Chunks().add(taken)] == [
            ("stdout", 1.0, "a\n"),
            ("stderr", 2.0, "oh\n"),
            ("stdout", 1.0, "bc\n"),
        ]

    def test_show_a_progress_bar_before_its_line_ends(self) -> None:
        assert texts(Chunks().add(pieces(b"10%\r20%\r30"))) == ["10%\r20%\r"]

    @pytest.mark.parametrize("at", range(1, 44))
    def test_mask_a_secret_that_comes_in_two_pieces(self, at: int) -> None:
        raw = b"GET https://joe:hunter2@example.com/ done\nok\n"
        cut = Chunks()
        shown = "".join(texts(cut.add(pieces(raw[:at])) + cut.add(pieces(raw[at:]), last=True)))
        assert shown == f"GET https://joe:{MASK}@example.com/ done\nok\n"

    def test_mask_what_the_task_was_given_as_a_secret(self) -> None:
        payload = {"environment": {"API_TOKEN": "s3cr3t-value", "PIN_TOKEN": "1", "LANG": "C.UTF-8"}}
        cut = Chunks(secrets_of(payload, "tst_own", None))
        assert texts(cut.add(pieces(b"got s3cr3t-value and tst_own in C.UTF-8, 1\n"))) == [
            f"got {MASK} and {MASK} in C.UTF-8, 1\n"
        ]

    def test_cut_a_line_that_is_too_long_where_no_secret_goes_on(self) -> None:
        cut = Chunks(longest=64)
        long = b"x" * 40 + b" y" * 20 + b" https://joe:hunter2@example.com/ " + b"y" * 40
        made = cut.add(pieces(long[:92])) + cut.add(pieces(long[92:])) + cut.add([], last=True)
        assert "hunter2" not in "".join(texts(made))
        assert [chunk.line for chunk in made] == [1] * len(made)
        assert sum(chunk.size for chunk in made) == len(long)

    def test_leave_out_lines_that_have_lost_a_part(self) -> None:
        cut = Chunks()
        taken = [*pieces(b"whole\nhttps://joe:hun"), Dropped(1000, 7), *pieces(b"ter2@example.com\nafter\n")]
        first, last = cut.add(taken)
        assert (first.text, last.text) == ("whole\n", "after\n")
        assert (last.seq, last.seq - last.size - first.seq) == (1044, 15 + 1000 + 17)
        assert last.line == 10, "one whole line, one that lost its end and six others, and the rest of the last"

    def test_are_text_that_postgresql_takes(self) -> None:
        assert texts(Chunks().add(pieces(b"a\0b\xff\xe2\x82\n"))) == ["a\ufffdb\ufffd\ufffd\n"]
        [named] = Chunks().add(pieces(b"x\n", stream="a\0\ud800" + "b" * 99))
        assert named.stream == "a\ufffd?" + "b" * 37
        split = Chunks(longest=4)
        assert "".join(texts(split.add(pieces("äöüäöü€€€".encode())) + split.add([], last=True))) == "äöüäöü€€€"

    @given(
        st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(max_size=40) | st.just(b"\n"))),
        st.integers(4, 32),
    )
    def test_lose_and_repeat_nothing(self, written: list[tuple[str, bytes]], longest: int) -> None:
        cut, made = Chunks(longest=longest), []
        for stream, data in written:
            made += cut.add(pieces(data, stream=stream))
        made += cut.add([], last=True)
        places = [0, *(chunk.seq for chunk in made)]
        assert [chunk.seq - chunk.size for chunk in made] == places[:-1]
        assert places[-1] == sum(len(data) for _, data in written)
        assert all(0 < chunk.size <= 2 * longest + 40 for chunk in made)
        assert 1 + sum(data.count(b"\n") for _, data in written) == cut.line
