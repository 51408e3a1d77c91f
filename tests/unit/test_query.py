"""Query strings: strict forms, and the filters of lists on one base. The lists themselves are tested over HTTP."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db.models import Q
from django.http import QueryDict

from access_app.http.filters import DEFAULT_SIZE, By, ListFilters
from access_app.http.openapi.lists import parameters_of
from access_app.http.openapi.schemas import INSTANT
from access_app.http.problems import Problem
from access_app.http.query import Parameter, Query, flag, instant, matching, one_of, refuse_unknown, uuid, whole
from tasks_app.models import Task

PLAIN = {"type": "string"}


class Wanted(Query):
    count = Parameter(whole(1, 9), PLAIN, "How many.", default=5)
    atomic = Parameter(flag, PLAIN, "All or none.")
    name = Parameter(one_of(["a", "b"]), PLAIN, "Any of these.", repeated=True)


class Rows(ListFilters):
    sorts = {"priority": "priority", "createdAt": "pk"}
    sort_schema = "TaskSort"
    worker_id = By("worker_id", uuid, PLAIN, "Of this worker.")
    created_after = By("created_at__gte", instant, INSTANT, "From then on.")
    from_ = By(lambda name: Q(queue=name) | Q(type=name), str, PLAIN, "Queue or type.")


def problems(query: str, form: Any = Wanted) -> dict[str, str]:
    """What is wrong with a query string, by parameter."""
    with pytest.raises(Problem) as caught:
        form.read(QueryDict(query)) if form is Wanted else form(QueryDict(query), Task.objects.all()).listing()
    assert caught.value.status == 400
    return dict(caught.value.errors)


class TestQuery:
    def test_reads_what_is_named_and_has_defaults_for_the_rest(self) -> None:
        assert Wanted.read(QueryDict("")) == {"count": 5, "atomic": None, "name": None}
        assert Wanted.read(QueryDict("count=3&atomic=false&name=b&name=a")) == {
            "count": 3,
            "atomic": False,
            "name": ["b", "a"],
        }

    def test_names_every_bad_parameter(self) -> None:
        assert problems("count=0&atomic=yes&name=a&name=c") == {
            "count": "must be a whole number from 1 to 9",
            "atomic": "must be true or false",
            "name": "must be one of a, b",
        }

    def test_refuses_a_parameter_given_twice_even_if_it_is_the_same(self) -> None:
        assert problems("count=3&count=3") == {"count": "must be given once"}

    def test_takes_an_empty_text_for_a_value(self) -> None:
        assert problems("count=&atomic=") == {
            "count": "must be a whole number from 1 to 9",
            "atomic": "must be true or false",
        }

    def test_leaves_nothing_of_one_request_to_the_next(self) -> None:
        problems("count=x")
        assert Wanted.read(QueryDict("atomic=true")) == {"count": 5, "atomic": True, "name": None}
        assert list(Wanted.base_fields) == ["count", "atomic", "name"]

    def test_sentences_are_no_formats(self) -> None:
        class Percent(Query):
            part = Parameter(matching(re.compile("x"), "must be 100%s"), PLAIN, "")

        with pytest.raises(Problem) as caught:
            Percent.read(QueryDict("part=y"))
        assert caught.value.errors == {"part": "must be 100%s"}


class TestRefuseUnknown:
    def test_names_some_of_very_many_and_cuts_them(self) -> None:
        data = QueryDict("&".join(f"{number}{'n' * 200}=1" for number in range(50)))
        with pytest.raises(Problem) as caught:
            refuse_unknown(data, {"known"})
        assert len(caught.value.errors) == 20
        assert {len(name) for name in caught.value.errors} == {100}
        refuse_unknown(QueryDict("known=1&known=2"), {"known"})


class TestListFilters:
    def test_have_names_as_json_has_them(self) -> None:
        assert list(Rows.form_class().base_fields) == [
            *("workerId", "createdAfter", "from", "page", "size", "sort", "cursor")
        ]

    def test_read_rows_order_and_page(self) -> None:
        listing = Rows(QueryDict("from=mail&size=3&page=2&sort=createdAt"), Task.objects.all()).listing()
        assert (listing.size, listing.page, listing.cursor, listing.filtered) == (3, 2, None, True)
        assert listing.sort.order() == ["pk"]
        assert 'WHERE ("tasks"."queue" = mail OR "tasks"."type" = mail)' in str(listing.rows.query)

    def test_have_a_first_page_in_their_own_order(self) -> None:
        listing = Rows(QueryDict(""), Task.objects.all()).listing()
        assert (listing.size, listing.page, listing.cursor, listing.filtered) == (DEFAULT_SIZE, 0, None, False)
        assert listing.sort.order() == ["-priority", "-pk"]
        assert "WHERE" not in str(listing.rows.query)

    @pytest.mark.parametrize("text", ["2030-01-01T00:00:00", "2030-01-01", "1893456000", "", "now"])
    def test_take_no_instant_without_a_zone(self, text: str) -> None:
        assert set(problems(f"createdAfter={text}", Rows)) == {"createdAfter"}

    def test_refuse_what_is_wrong_with_filters_and_pages_in_one_answer(self) -> None:
        found = problems("workerId=1&from=a&from=a&size=0&page=1&cursor=&sort=x", Rows)
        assert found == {
            "workerId": "must be a UUID",
            "from": "must be given once",
            "size": "must be a whole number from 1 to 200",
            "cursor": "cannot be used together with page",
            "sort": "must be one of priority, createdAt, followed by ,asc or ,desc",
        }

    def test_are_documented_as_they_are_read(self) -> None:
        described = {each["name"]: each for each in parameters_of(Rows)}
        assert list(described) == list(Rows.form_class().base_fields)
        assert described["createdAfter"]["schema"] == INSTANT
        assert "priority,desc if absent" in described["sort"]["description"]
        assert described["cursor"]["allowEmptyValue"] is True
        assert "explode" not in described["workerId"]
        assert parameters_of(Wanted)[2]["explode"] is True
