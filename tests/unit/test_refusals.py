"""Problems of input are bounded in number and length, and count what they leave out."""

from __future__ import annotations

from access_app.refusals import LONGEST_NAME, LONGEST_SENTENCE, MOST_PROBLEMS, bounded, count_of
from tasks_app.executors.base import PayloadError
from tasks_app.new_tasks import InvalidTask

MANY = {f"f{n}": "is wrong" for n in range(1_000)}


class TestBounded:
    def test_keeps_few_as_they_are(self) -> None:
        assert bounded({"a": "is wrong"}.items()) == {"a": "is wrong"}
        assert bounded([]) == {}

    def test_says_how_many_more_there_are(self) -> None:
        found = bounded(MANY.items())
        assert list(found) == [f"f{n}" for n in range(MOST_PROBLEMS)] + ["…"]
        assert found["…"] == "and 900 more"

    def test_counts_for_what_was_bounded_before_under_a_path(self) -> None:
        inside = {f"payload.{name}": text for name, text in bounded(MANY.items()).items()}
        found = bounded({"type": "is wrong", **inside}.items())
        assert len(found) == MOST_PROBLEMS + 1
        assert found["…"] == "and 901 more"
        assert bounded(found.items()) == found
        assert count_of(found) == 1_001

    def test_cuts_names_and_sentences(self) -> None:
        [(name, sentence)] = bounded([("n" * 1_000, "s" * 1_000)]).items()
        assert (len(name), len(sentence)) == (LONGEST_NAME, LONGEST_SENTENCE)
        assert name.endswith("…") and sentence.endswith("…")

    def test_takes_a_field_that_is_named_like_the_rest_for_what_it_is(self) -> None:
        assert bounded([("…", "unknown field")]) == {"…": "unknown field"}
        assert count_of({"…": "unknown field"}) == 1


class TestExceptions:
    def test_have_short_texts(self) -> None:
        assert len(str(InvalidTask(MANY))) < 5_000
        assert len(str(PayloadError(MANY))) < 5_000
        assert len(PayloadError(MANY).problems) == MOST_PROBLEMS + 1
