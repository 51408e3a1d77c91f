"""Whose turn it is in a queue that tenants share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from flow_app.matching import Candidate, Room, match
from flow_app.sharing import Sharer, Shares, allot

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def sharer(tenant: str, **columns: int) -> Sharer:
    return Sharer("q", tenant, 1, 0, 0)._replace(**columns)


def order(sharers: Sequence[Sharer], waiting: str) -> str:
    """Whose tasks come one after the other, when so many of each wait as letters are given."""
    tasks = [
        Candidate(UUID(int=number), "q", 0, NOON + timedelta(seconds=number), None, False)
        for number in range(len(waiting))
    ]
    tenants = {task.task_id: ("q", tenant) for task, tenant in zip(tasks, waiting, strict=True)}
    shares = Shares({"q": sharers}, tenants)
    return "".join(tenants[task.task_id][1] for task in shares.in_turn("q", tasks))


class TestInTurn:
    def test_goes_round_however_much_one_has(self) -> None:
        assert order([sharer("a"), sharer("b"), sharer("c")], "aaaaabbc") == "abcabaaa"

    def test_lets_each_have_as_many_turns_in_a_row_as_its_weight(self) -> None:
        assert order([sharer("a", weight=3), sharer("b")], "bbbbaaaaaaaa") == "aaabaaabaabb"

    def test_takes_weights_for_their_ratio(self) -> None:
        assert order([sharer("a", weight=300), sharer("b", weight=100)], "bbaaaaaa") == "aaabaaab"

    def test_lets_catch_up_who_holds_less(self) -> None:
        assert order([sharer("a", held=2), sharer("b", held=1), sharer("c")], "aabbcccc") == "cbcabcac"

    def test_counts_what_is_held_by_weight(self) -> None:
        assert order([sharer("a", weight=2, held=4), sharer("b", held=1)], "aabb") == "baab"

    def test_goes_on_behind_the_one_that_was_served_last(self) -> None:
        assert order([sharer("b", used=1), sharer("c"), sharer("a")], "aabbcc") == "cabcab"

    def test_finishes_the_visit_that_is_under_way(self) -> None:
        weights = [sharer("b", weight=3, used=1), sharer("a", weight=2)]
        assert order(weights, "aaabbbb") == "bbaabab"

    def test_puts_last_what_belongs_to_nobody(self) -> None:
        assert order([sharer("a")], "?a?a") == "aa??"

    def test_leaves_other_queues_as_they_are(self) -> None:
        tasks = [Candidate(UUID(int=1), "other", 0, NOON, None, False)]
        assert Shares({"q": [sharer("a")]}).in_turn("other", tasks) is tasks


class TestAllot:
    def test_is_what_turns_make_of_lines_without_end(self) -> None:
        sharers = [sharer("a", weight=3, held=1), sharer("b", weight=2, used=1), sharer("c", held=4)]
        endless = order(sharers, "abc" * 20)
        for most in range(12):
            found = allot(sharers, most)
            assert {each: endless[:most].count(each) for each in "abc" if each in endless[:most]} == found

    def test_of_nobody_is_nothing(self) -> None:
        assert allot([], 5) == {}


class TestServedLast:
    def _last(self, sharers: Sequence[Sharer], given: str) -> tuple[str, int] | None:
        tenants = {UUID(int=number): ("q", tenant) for number, tenant in enumerate(given)}
        return Shares({"q": sharers}, tenants).served_last(tenants).get("q")

    def test_counts_turns_in_a_row(self) -> None:
        assert self._last([sharer("a", weight=3), sharer("b")], "abaa") == ("a", 2)

    def test_goes_on_counting(self) -> None:
        assert self._last([sharer("a", weight=3, used=1), sharer("b")], "a") == ("a", 2)

    def test_begins_anew_when_a_visit_is_over(self) -> None:
        assert self._last([sharer("a", weight=3, used=3), sharer("b")], "a") == ("a", 1)
        assert self._last([sharer("a", weight=2, used=0), sharer("b")], "aaa") == ("a", 1)

    def test_is_nobody_where_nothing_was_given(self) -> None:
        assert self._last([sharer("a", used=1)], "") is None


class TestMatch:
    def test_gives_a_shared_queue_away_by_turns(self) -> None:
        tasks = [Candidate(UUID(int=n), "q", 0, NOON + timedelta(seconds=n), None, False) for n in range(6)]
        tenants = {task.task_id: ("q", tenant) for task, tenant in zip(tasks, "aaaabb", strict=True)}
        shares = Shares({"q": [sharer("a"), sharer("b")]}, tenants)
        worker = Room(UUID(int=99), None, 3, 3, 0, 0, 3, None, "")
        assert [task.int for task in match([worker], tasks, {}, 9, shares).tasks] == [0, 4, 1]

    def test_counts_what_other_workers_were_given_in_the_same_pass(self) -> None:
        tasks = [Candidate(UUID(int=n), "q", 0, NOON + timedelta(seconds=n), None, False) for n in range(8)]
        tenants = {task.task_id: ("q", tenant) for task, tenant in zip(tasks, "aaaaabbb", strict=True)}
        shares = Shares({"q": [sharer("a"), sharer("b")]}, tenants)
        named = Room(UUID(int=1), ["q"], 1, 1, 0, 0, 1, None, "")
        everything = Room(UUID(int=2), None, 1, 1, 0, 0, 1, None, "")
        assert [task.int for task in match([named, everything], tasks, {}, 9, shares).tasks] == [0, 5]
