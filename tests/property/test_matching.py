"""Whatever waits and whoever has room: what a pass gives away keeps to its rules."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from flow_app.matching import Candidate, Key, Match, Room, limits_of, match
from flow_app.reserving import PATIENCE, reserve

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
QUEUES = ["a", "b", "c"]


def _rooms(drawn: list[tuple[list[str] | None, int, int, int, bool, int]], limits: dict[str, int] | None) -> list[Room]:
    found = []
    shares: dict[tuple[str, ...] | None, int] = {}
    for number, (queues, slots, prefetch, taken, has_suspect, share) in enumerate(drawn):
        capacity = slots + prefetch
        tasks = min(taken, capacity + 1)
        same = shares.setdefault(queues and tuple(queues), share)
        text = limits and json.dumps({"queue": limits})
        found.append(Room(UUID(int=number), queues, slots, capacity, tasks, has_suspect and tasks > 0, same, text, ""))
    return found


def _waiting(drawn: list[tuple[str, int, int, str | None, int]]) -> list[Candidate]:
    return [
        Candidate(UUID(int=100 + number), queue, priority, NOON + timedelta(seconds=second), key, chance == 0)
        for number, (queue, priority, second, key, chance) in enumerate(drawn)
    ]


SERVED = st.sampled_from([None, None, ["a"], ["b"], ["a", "b"], ["b", "c"]])
LIMITS = st.none() | st.dictionaries(st.sampled_from(QUEUES), st.integers(0, 4))
ROOMS = st.builds(
    _rooms,
    st.lists(
        st.tuples(SERVED, st.integers(1, 5), st.integers(0, 3), st.integers(0, 9), st.booleans(), st.integers(0, 6)),
        max_size=5,
    ),
    LIMITS,
)
WAITING = st.builds(
    _waiting,
    st.lists(
        st.tuples(
            st.sampled_from(QUEUES),
            st.integers(-1, 1),
            st.integers(0, 4),
            st.sampled_from([None, None, "k", "l"]),
            st.integers(0, 5),
        ),
        max_size=20,
    ),
)
#: Of each queue and key: its limit, the slots that are taken, and how many of the next are in other hands.
STATES = st.lists(
    st.tuples(st.integers(0, 3), st.sets(st.integers(0, 4), max_size=3), st.sampled_from([0, 0, 1])),
    min_size=6,
    max_size=6,
)
State = tuple[int, set[int], int]


def _keys(candidates: list[Candidate], states: list[State]) -> dict[tuple[str, str], Key]:
    """As ``look_at_keys.sql`` finds them: the next ones of a key are the first of those in sight."""
    by_name = dict(zip(((queue, key) for queue in QUEUES for key in "kl"), states, strict=True))
    lines: dict[tuple[str, str], list[Candidate]] = {}
    for each in sorted(candidates, key=_place):
        if each.concurrency_key is not None:
            lines.setdefault((each.queue, each.concurrency_key), []).append(each)
    found = {}
    for name, line in lines.items():
        most, slots, elsewhere = by_name[name]
        next_ones = line[: max(0, most - len(slots))][elsewhere:]
        found[name] = Key(most, [UUID(int=900 + slot) for slot in slots], list(slots), next_ones)
    return found


def _place(each: Candidate) -> tuple[int, datetime, UUID]:
    return -each.priority, each.run_at, each.task_id


@given(ROOMS, WAITING, STATES, st.integers(0, 12))
def test_what_is_given_away_keeps_to_the_rules(
    workers: list[Room], candidates: list[Candidate], states: list[State], limit: int
) -> None:
    keys = _keys(candidates, states)
    found = match(workers, candidates, keys, limit)
    by_id, rooms_by_id = {each.task_id: each for each in candidates}, {each.worker_id: each for each in workers}
    pairs = [(by_id[t], rooms_by_id[w]) for t, w in zip(found.tasks, found.workers, strict=True)]

    assert len(set(found.tasks)) == len(found.tasks), "nothing is given twice"
    assert all(room.queues is None or task.queue in room.queues for task, room in pairs), "each serves its queue"
    for worker_id, given_to in Counter(found.workers).items():
        room = rooms_by_id[worker_id]
        assert room.taken + given_to <= room.capacity, "nobody is given more than there is room for"
    for budget, most in limits_of(workers).items():
        assert sum(budget in task.budgets for task, _ in pairs) <= most, "nothing has more than its limit"
    suspects = Counter(room.worker_id for task, room in pairs if task.suspect)
    assert all(count == 1 and not rooms_by_id[w].suspects for w, count in suspects.items()), "suspects are alone"
    for room in workers:
        if room.queues is None:
            # The first of a key may take the turn of a suspect that wants the same key.
            mine = Counter(t.queue for t, r in pairs if r.queues is None and not (t.suspect or t.concurrency_key))
            assert all(count <= room.share for count in mine.values()), "no queue has more than its share"

    taken = [(task.queue, task.concurrency_key) for task, _ in pairs if task.concurrency_key is not None]
    assert sorted(taken) == sorted(found.keys)
    for name, count in Counter(taken).items():
        key, mine = keys[name], [task for task, _ in pairs if (task.queue, task.concurrency_key) == name]
        slots = [found.key_slots[task.task_id] for task in mine]
        assert count + len(key.slots) <= key.most, "no key is held more often than its limit"
        assert len({*slots, *key.slots}) == count + len(key.slots), "and no slot twice"
        assert max(slots) < key.most, "nor one that the limit has not"
        assert {task.task_id for task in mine} <= {each.task_id for each in key.firsts}, "only those that come next"
    assert found.key_slots.keys() == {task.task_id for task, _ in pairs if task.concurrency_key is not None}

    beyond = [room for _, room in pairs if room.taken + found.workers.count(room.worker_id) > room.slots]
    if beyond and limit > len(pairs):
        idle = [r for r in workers if r.queues is None and r.taken + found.workers.count(r.worker_id) < r.slots]
        assert not [room for room in beyond if room.queues is None and idle], "free slots before prefetch"


@given(ROOMS, WAITING, st.integers(1, 12))
def test_a_task_of_a_lower_priority_overtakes_none_of_its_queue(
    workers: list[Room], candidates: list[Candidate], limit: int
) -> None:
    plain = [each._replace(concurrency_key=None, suspect=False) for each in candidates]
    everybody = [room._replace(queues=None, share=3, limits=None) for room in workers]
    gone = set(match(everybody, plain, {}, limit).tasks)
    for queue in QUEUES:
        line = [each.task_id in gone for each in sorted(plain, key=_place) if each.queue == queue]
        assert line == sorted(line, reverse=True)


@given(ROOMS, WAITING)
def test_nothing_waits_beside_room(workers: list[Room], candidates: list[Candidate]) -> None:
    plain = [each._replace(concurrency_key=None, suspect=False) for each in candidates]
    everybody = [room._replace(queues=None, share=1000, limits=None) for room in workers]
    found = match(everybody, plain, {}, 1000)
    free = sum(max(0, room.capacity - room.taken) for room in workers)
    assert len(found.tasks) == min(free, len(plain))
    assert found.room == free - len(found.tasks)


SIZES = st.lists(
    st.tuples(st.integers(1, 6), st.sampled_from([0.0, 1.0, PATIENCE + 1, 9 * PATIENCE])), min_size=20, max_size=20
)


@given(ROOMS, WAITING, SIZES, st.integers(0, 12))
def test_tasks_of_several_slots_fit_and_are_made_room_for(
    workers: list[Room], candidates: list[Candidate], sizes: list[tuple[int, float]], limit: int
) -> None:
    """What takes n slots needs a worker that has n of them in all: its needs have the number n here."""
    tasks = [
        each._replace(concurrency_key=None, slots=size, needs_id=size, waited=waited) if size > 1 else each
        for each, (size, waited) in zip(candidates, sizes, strict=False)
    ]
    plain = [each._replace(concurrency_key=None) for each in tasks]
    met = {room.worker_id: range(2, room.slots + 1) for room in workers}
    found = match(workers, plain, {}, limit, met=met)
    by_id, rooms_by_id = {each.task_id: each for each in plain}, {each.worker_id: each for each in workers}
    given_to: dict[UUID, list[Candidate]] = defaultdict(list)
    for task_id, worker_id in zip(found.tasks, found.workers, strict=True):
        given_to[worker_id].append(by_id[task_id])
    for worker_id, got in given_to.items():
        room = rooms_by_id[worker_id]
        assert room.taken + sum(each.slots for each in got) <= room.capacity, "theirs add up to its own at most"
        large = [each for each in got if each.slots > 1]
        assert not large or room.taken + sum(each.slots for each in large) <= room.slots, "and are no prefetch"
        assert sum(each.suspect for each in got) <= 1, "suspects are alone"
    before = Match(limits=limits_of(workers))  # workers are kept by what there was before anything was given away
    startable = [each for each in plain if each.slots > 1 and before.may_give(each, prefetch=False)]
    for worker_id, kept_for in reserve(startable, workers, met).left(found.tasks).items():
        others = [each for each in given_to[worker_id] if not each.suspect]
        assert all(each.queue == kept_for.queue and each.priority > kept_for.priority for each in others), "it is kept"


class TestPlainTasks:
    @given(ROOMS, WAITING, st.integers(0, 12))
    def test_are_given_away_as_those_that_something_limits(
        self, rooms: list[Room], waiting: list[Candidate], limit: int
    ) -> None:
        """They are given away many at once; a limit of a queue that nobody names has each looked at by itself."""
        plain = [each._replace(concurrency_key=None, suspect=False) for each in waiting]
        free = [each._replace(limits=None) for each in rooms]
        limited = [each._replace(limits=json.dumps({"queue": {"nobody's": 9}})) for each in rooms]
        at_once, each_by_itself = match(free, plain, {}, limit), match(limited, plain, {}, limit)
        assert (at_once.tasks, at_once.workers) == (each_by_itself.tasks, each_by_itself.workers)
        assert at_once.room == each_by_itself.room
