"""Which part of a graph is read for a page: the nearest, of both sides, bounded whatever the size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from access_app.ids import new_task_ids
from tasks_app import neighbourhood
from tasks_app.edges import TaskEdge
from tasks_app.models import Task
from tasks_app.neighbourhood import find_edges_among, find_near, tasks_around, tasks_in
from tests.factories import make_batch, make_task

pytestmark = pytest.mark.django_db


def fill(count: int, **columns: Any) -> list[UUID]:
    """Very many tasks, like one."""
    like, ids = make_task(**columns), new_task_ids(count)
    rows = []
    for task_id in ids:
        like.pk = task_id
        rows.append(Task(**{field.attname: getattr(like, field.attname) for field in Task._meta.concrete_fields}))
    Task.objects.bulk_create(rows)
    return ids


def join(children: Sequence[UUID], parents: Sequence[UUID], outcome: str | None = None) -> None:
    TaskEdge.objects.bulk_create(
        TaskEdge(child_id=child, parent_id=parent, outcome=outcome) for child in children for parent in parents
    )


def near(**asked: Any) -> list[UUID]:
    with connection.cursor() as cursor:
        return find_near(cursor, **asked)


class TestFindNear:
    def test_goes_up_and_down_over_whatever_others_the_nearest_first(self) -> None:
        chain = [make_task().pk for _ in range(6)]
        for child, parent in zip(chain[1:], chain, strict=False):
            join([child], [parent], None if child == chain[3] else "SUCCESS")
        found = near(seeds=[chain[2]])
        assert found[0] == chain[2]
        assert set(found[1:3]) == {chain[1], chain[3]}
        assert set(found) == set(chain)

    def test_shows_both_sides_of_one_with_very_many(self) -> None:
        middle, many = make_task().pk, new_task_ids(3000)
        join(many[:1000], [middle])
        join(many[1000:2000], [middle], "FAILED")
        join([middle], many[2000:])
        found = set(near(seeds=[middle]))
        assert len(found) == neighbourhood.MOST_TASKS + 1
        assert all(len(found & set(many[n : n + 1000])) == 100 for n in (0, 1000, 2000))

    def test_stays_in_a_batch_and_begins_with_what_failed(self) -> None:
        batch = make_batch()
        fill(400, batch_id=batch.pk, status="SUCCESS")
        failed, below = (make_task(batch_id=batch.pk, status=status).pk for status in ("FAILED", "CANCELLED"))
        outside = make_task().pk
        join([below], [failed, outside], "FAILED")
        found = near(batch_id=batch.pk, first=10)
        assert {failed, below} <= set(found)
        assert outside not in found
        assert len(found) == 12

    def test_ends_where_tasks_wait_for_each_other(self) -> None:
        one, other = make_task().pk, make_task().pk
        join([one], [other])
        join([other], [one])
        assert set(near(seeds=[one])) == {one, other}


class TestFindEdgesAmong:
    def test_names_a_few_of_those_outside_and_all_within(self) -> None:
        parents, child, batch = [make_task().pk for _ in range(3)], make_task().pk, make_batch()
        gone = new_task_ids(60)
        join([child], [*parents, *gone[:20]])
        join(gone[20:40], [child])
        join(gone[40:], [child], "SUCCESS")
        TaskEdge.objects.create(child_id=child, parent_id=batch.pk, of_batch=True)
        with connection.cursor() as cursor:
            edges = find_edges_among(cursor, [*parents, child])
        assert {edge.parent_id for edge in edges if edge.parent_id in parents} == set(parents)
        assert [edge.parent_id for edge in edges if edge.of_batch] == [batch.pk]
        assert len(edges) == 3 + 1 + 3 * neighbourhood.MOST_OUTSIDE


class TestBounds:
    def test_say_what_is_beyond_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        batch = make_batch()
        tasks = [make_task(batch_id=batch.pk).pk for _ in range(6)]
        for place, child in enumerate(tasks):
            join([child], tasks[:place])
        whole = tasks_in(batch.pk, total=6)
        assert (len(whole.tasks), len(whole.edges), whole.more_tasks, whole.more_edges) == (6, 15, False, False)
        monkeypatch.setattr(neighbourhood, "MOST_TASKS", 5)
        monkeypatch.setattr(neighbourhood, "MOST_EDGES", 9)
        for part in (tasks_in(batch.pk, total=6), tasks_around(tasks[0])):
            assert (len(part.tasks), len(part.edges), part.more_tasks, part.more_edges) == (5, 9, True, True)
            assert part.outer
