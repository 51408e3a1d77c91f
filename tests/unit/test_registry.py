"""Which types there are, and what they say of themselves."""

from __future__ import annotations

import pytest
from django.utils.module_loading import import_string

from tasks_app.admin.new_task import NewTaskForm
from tasks_app.executors.registry import BUILT_IN, documented_types, executors


class TestDocumentedTypes:
    def test_are_all_that_are_built_in(self) -> None:
        assert list(documented_types()) == [import_string(path).type for path in BUILT_IN]

    @pytest.mark.parametrize("task_type", documented_types())
    def test_show_a_payload_that_the_type_takes(self, task_type: str) -> None:
        executors()[task_type].validate(documented_types()[task_type].example)

    def test_fill_the_form_for_a_new_task_as_far_as_they_may_be_chosen(self) -> None:
        form = NewTaskForm(types=["DUMMY", "TRACE"])
        assert form.examples == {"DUMMY": '{"sleepDurationMs": 500}'}
