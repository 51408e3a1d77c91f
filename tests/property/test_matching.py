"""Whatever waits and whoever has room: what a pass gives away keeps to its rules."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from flow_app.matching import Candidate, Key, Room, match

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
QUEUES = ["a", "b", "c"]


@st.composite
def rooms(draw: st.DrawFn) -> list[Room]:
    found = []
    shares: dict[tuple[str, ...] | None, int] = {}
    for number in range(draw(st.integers(0, 5))):
        queues = draw(st.none() | st.lists(st.sampled_from(QUEUES), min_size=1, max_size=2, unique=True).map(sorted))
        slots, prefetch = draw(st.integers(1, 5)), draw(st.integers(0, 3))
        tasks = draw(st.integers(0, slots + prefetch + 1))
        suspects = draw(st.integers(0, min(tasks, 1)))
        share = shares.setdefault(queues and tuple(queues), draw(st.integers(0, 6)))
        found.append(Room(UUID(int=number), queues, slots, slots + prefetch, tasks, suspects, share, ""))
    return found


@st.composite
def waiting(draw: st.DrawFn) -> list[Candidate]:
    return [
        Candidate(
            UUID(int=100 + number),
            draw(st.sampled_from(QUEUES)),
            draw(st.integers(-1, 1)),
            NOON + timedelta(seconds=draw(st.integers(0, 4))),
            draw(st.none() | st.sampled_from("kl")),
            draw(st.integers(0, 5)) == 0,
        )
        for number in range(draw(st.integers(0, 25)))
    ]


@st.composite
def keys_of(draw: st.DrawFn, candidates: list[Candidate]) -> dict[tuple[str, str], Key]:
    """Held, in other hands, or with the first of those in sight, as ``look_at_keys.sql`` finds them."""
    found: dict[tuple[str, str], Key] = {}
    for each in sorted(candidates, key=_place):
        if each.concurrency_key is None or (each.queue, each.concurrency_key) in found:
            continue
        state = draw(st.sampled_from(["held", "elsewhere", "free", "free"]))
        holder = UUID(int=999) if state == "held" else None
        first = (each.task_id, each.priority, each.run_at, each.suspect) if state == "free" else (None,) * 4
        found[each.queue, each.concurrency_key] = Key(each.queue, each.concurrency_key, holder, *first)
    return found


def _place(each: Candidate) -> tuple[int, datetime, UUID]:
    return -each.priority, each.run_at, each.task_id


@given(st.data(), rooms(), waiting(), st.integers(0, 12))
def test_what_is_given_away_keeps_to_the_rules(
    data: st.DataObject, workers: list[Room], candidates: list[Candidate], limit: int
) -> None:
    keys = data.draw(keys_of(candidates))
    found = match(workers, candidates, keys, limit)
    by_id, rooms_by_id = {each.task_id: each for each in candidates}, {each.worker_id: each for each in workers}
    pairs = [(by_id[t], rooms_by_id[w]) for t, w in zip(found.tasks, found.workers, strict=True)]

    assert len(set(found.tasks)) == len(found.tasks), "nothing is given twice"
    assert all(room.queues is None or task.queue in room.queues for task, room in pairs), "each serves its queue"
    for worker_id, given_to in Counter(found.workers).items():
        room = rooms_by_id[worker_id]
        assert room.tasks + given_to <= room.capacity, "nobody is given more than there is room for"
    suspects = Counter(room.worker_id for task, room in pairs if task.suspect)
    assert all(count == 1 and not rooms_by_id[w].suspects for w, count in suspects.items()), "suspects are alone"
    for room in workers:
        if room.queues is None:
            # The first of a key may take the turn of a suspect that wants the same key.
            mine = Counter(t.queue for t, r in pairs if r.queues is None and not (t.suspect or t.concurrency_key))
            assert all(count <= room.share for count in mine.values()), "no queue has more than its share"

    taken = [(task.queue, task.concurrency_key) for task, _ in pairs if task.concurrency_key is not None]
    assert sorted(taken) == sorted(found.keys)
    assert len(set(taken)) == len(taken), "one task to a key"
    assert all(keys[name].first in found.tasks for name in taken), "and that its first"

    beyond = [room for _, room in pairs if room.tasks + found.workers.count(room.worker_id) > room.slots]
    if beyond and limit > len(pairs):
        idle = [r for r in workers if r.queues is None and r.tasks + found.workers.count(r.worker_id) < r.slots]
        assert not [room for room in beyond if room.queues is None and idle], "free slots before prefetch"


@given(rooms(), waiting(), st.integers(1, 12))
def test_a_task_of_a_lower_priority_overtakes_none_of_its_queue(
    workers: list[Room], candidates: list[Candidate], limit: int
) -> None:
    plain = [each._replace(concurrency_key=None, suspect=False) for each in candidates]
    everybody = [room._replace(queues=None, share=3) for room in workers]
    gone = set(match(everybody, plain, {}, limit).tasks)
    for queue in QUEUES:
        line = [each.task_id in gone for each in sorted(plain, key=_place) if each.queue == queue]
        assert line == sorted(line, reverse=True)


@given(rooms(), waiting())
def test_nothing_waits_beside_room(workers: list[Room], candidates: list[Candidate]) -> None:
    plain = [each._replace(concurrency_key=None, suspect=False) for each in candidates]
    everybody = [room._replace(queues=None, share=1000) for room in workers]
    found = match(everybody, plain, {}, 1000)
    free = sum(max(0, room.capacity - room.tasks) for room in workers)
    assert len(found.tasks) == min(free, len(plain))
    assert found.room == free - len(found.tasks)
