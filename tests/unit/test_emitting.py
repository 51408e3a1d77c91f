"""What an attempt has written and nobody has taken: in order, bounded, with its beginning and its end."""

from __future__ import annotations

from tasks_app.executors.emitting import PIECE, Dropped, Output, Piece


def flat(output: Output, most: int = 10**9) -> list[bytes | Dropped]:
    return [item.data if isinstance(item, Piece) else item for item in output.take(most)]


class TestOutput:
    def test_gives_what_was_written_in_order_and_once(self) -> None:
        output = Output(head=100, held=100)
        output.write("stdout", b"a\n")
        output.write("stderr", b"b\n")
        assert [(item.stream, item.data) for item in output.take(99) if isinstance(item, Piece)] == [
            ("stdout", b"a\n"),
            ("stderr", b"b\n"),
        ]
        assert (output.waits, output.take(99)) == (False, [])

    def test_keeps_both_ends_and_counts_what_it_drops_between(self) -> None:
        output = Output(head=10, held=10)
        for number in range(100):
            output.write("stdout", b"%04d\n" % number)
        assert flat(output) == [b"0000\n", b"0001\n", Dropped(480, 96), b"0098\n", b"0099\n"]

    def test_keeps_the_newest_once_its_beginning_is_taken(self) -> None:
        output = Output(head=10, held=10)
        output.write("stdout", b"0123456789")
        assert flat(output) == [b"0123456789"]
        for letter in b"abcd":
            output.write("stdout", bytes([letter]) * 5)
        assert flat(output) == [Dropped(10, 0), b"ccccc", b"ddddd"]

    def test_gives_no_more_than_a_share_at_a_time_and_the_beginning_first(self) -> None:
        output = Output(head=4, held=10)
        for word in (b"aa", b"bb", b"cc", b"dd"):
            output.write("stdout", word)
        assert [flat(output, 3), flat(output, 3), flat(output, 3)] == [[b"aa", b"bb"], [b"cc", b"dd"], []]

    def test_holds_no_more_than_it_may_of_a_single_huge_text(self) -> None:
        output = Output(head=PIECE, held=2 * PIECE)
        output.write("log", b"x" * (100 * PIECE))
        taken = output.take(10**9)
        assert sum(len(item.data) for item in taken if isinstance(item, Piece)) <= 3 * PIECE
        assert sum(item.size if isinstance(item, Dropped) else len(item.data) for item in taken) == 100 * PIECE

    def test_takes_nothing_once_its_attempt_is_over(self) -> None:
        output = Output(head=10, held=10)
        output.close()
        output.write("stdout", b"late")
        assert not output.waits
