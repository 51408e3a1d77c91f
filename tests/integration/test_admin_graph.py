"""The graph of tasks in the admin: picture and list, what they say, how large they get, who sees them."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from access_app.ids import new_task_ids
from tasks_app.edges import TaskEdge
from tasks_app.models import Task
from tests.factories import make_batch, make_execution, make_task
from tests.integration.engine.test_neighbourhood import fill, join
from tests.support.pages import make_graph
from tests.support.people import sign_in

pytestmark = pytest.mark.django_db
HOSTILE = '</title></text></svg><script>alert(1)</script>"\u202e\x1b[31m\u0645\u0631\u062d\u0628\u0627' + "長" * 90


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("maria"))
    return client


def of_batch(batch_id: object) -> str:
    return f"/admin/workflows_app/batch/{batch_id}/change/"


def of_task(task_id: object) -> str:
    return f"/admin/tasks_app/task/{task_id}/graph/"


def text_of(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return response.content.decode()


class TestGraph:
    def test_of_a_batch_is_a_picture_and_the_same_in_words(self, staff: Client) -> None:
        batch = make_graph("tidy up")
        page = text_of(staff, of_batch(batch.pk))
        picture, listed = page.partition('class="ts-graph"')[2].split("</svg>\n</div>")
        *_, fell, never, last = Task.objects.filter(batch_id=batch.pk).order_by("id")
        for task_id in (fell.pk, never.pk, last.pk):
            assert f'href="/admin/tasks_app/task/{task_id}/change/"' in picture
            assert f'href="/admin/tasks_app/task/{task_id}/change/"' in listed
        assert picture.count('class="ts-edge ts-fell') == 3  # what failed to what never ran, and to the clean-up
        assert picture.count("ts-ruled") == 3
        assert picture.count("ts-stub") == 1
        assert "any failed" in picture
        assert "(runs when one has failed)" in listed
        assert "CANCELLED" in picture
        assert "RUNNING · onComplete" in picture
        assert "batch tidy up" in picture
        assert [f"Layer {n}<" in listed for n in (1, 2, 3, 4, 5)] == [True, True, True, True, False]

    def test_around_a_task_shows_where_it_is_and_is_reached_from_its_page(self, staff: Client) -> None:
        batch = make_graph("tidy up")
        first, *_, last = Task.objects.filter(batch_id=batch.pk).order_by("id")
        for task in (first, last):  # of the first, all know the end
            assert f'href="{of_task(task.pk)}"' in text_of(staff, f"/admin/tasks_app/task/{task.pk}/change/")
        page = text_of(staff, of_task(last.pk))
        assert page.count("ts-here") == 1
        assert "this one" in page
        assert page.count("has not ended") == 1
        assert str(first.pk) in page

    def test_is_not_there_where_nothing_depends_on_anything(self, staff: Client) -> None:
        batch = make_batch()
        alone = [make_task(batch_id=batch.pk) for _ in range(2)]
        assert "<h3>Graph" not in text_of(staff, of_batch(batch.pk))
        page = text_of(staff, of_task(alone[0].pk))
        assert "It depends on nothing" in page
        TaskEdge.objects.create(child_id=alone[0].pk, parent_id=new_task_ids(1)[0])
        assert 'class="ts-graph"' not in text_of(staff, of_task(alone[0].pk))

    def test_cuts_and_escapes_what_others_wrote(self, staff: Client) -> None:
        make_task(type=HOSTILE[:60])
        batch = make_graph(HOSTILE.replace("\x1b", ""))
        Task.objects.filter(batch_id=batch.pk).update(queue=HOSTILE.replace("\x1b", "")[:100])
        last = Task.objects.filter(batch_id=batch.pk).order_by("id").last()
        for url in (of_batch(batch.pk), of_task(last and last.pk)):
            page = text_of(staff, url)
            assert "<script>alert" not in page
            assert "\u202e" not in page
            for shown in re.findall(r"<text[^>]*>([^<]*)</text>", page):
                assert len(shown.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"')) <= 32
                assert "⟨U+202E⟩" not in shown  # which would not find room

    def test_hides_credentials(self, staff: Client) -> None:
        batch = make_graph("plain")
        url = "https://u:hunter2@shop.example/?token=hunter2" + "&token=hunter2" * 30
        Task.objects.filter(batch_id=batch.pk).update(type="HTTP", payload={"url": url})
        page = text_of(staff, of_batch(batch.pk))
        assert "shop.example" in page
        assert "hunter2" not in page


class TestRights:
    def test_are_those_of_the_page_of_a_task(self, client: Client) -> None:
        batch = make_graph("secret")
        last = Task.objects.filter(batch_id=batch.pk).first()
        sign_in(client, "change_task", "add_task", "view_queue")
        assert client.get(of_task(last and last.pk)).status_code == 403
        assert client.get(of_batch(batch.pk)).status_code == 403
        User.objects.all().delete()
        assert client.get(of_task(last and last.pk)).status_code == 302
        sign_in(client, "view_task")
        assert "secret" in text_of(client, of_task(last and last.pk))
        assert client.post(of_task(last and last.pk)).status_code == 405
        assert client.get(of_task("no-id")).status_code == 302


class TestSize:
    def test_is_bounded_for_a_batch_of_very_many(self, staff: Client) -> None:
        batch = make_batch()
        ids = fill(3000, batch_id=batch.pk, status="SUCCESS", payload={"command": "x" * 2000})
        fan = fill(40, batch_id=batch.pk, status="CANCELLED", end_reason="DEPENDENCY_FAILED")
        join(fan, ids[:120], "SUCCESS")
        join(ids[1000:], ids[999:1000], "SUCCESS")
        make_execution(Task.objects.get(pk=fan[0]))
        for url, said in (
            (of_batch(batch.pk), "Of 3,042 tasks"),
            (of_task(ids[1500]), "Not all: the"),
        ):
            with CaptureQueriesContext(connection) as queries:
                page = text_of(staff, url)
            assert len(queries) <= 15, [query["sql"][:90] for query in queries]
            assert said in page
            assert page.count("<rect") <= 300
            assert page.count('<path class="ts-edge') <= 1000 + 2 * 300
            assert len(page) < 1_500_000
