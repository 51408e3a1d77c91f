"""Mutants of what a request may say: strict parameters, filters of lists, the table of task fields, its forms."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, mutants_of

_LIST: Final = "integration/test_api_listing.py"
_FILTERS: Final = f"{_LIST}::TestFilters"
_EDIT: Final = "integration/test_api_tasks.py::TestEditTask"
_SCHEDULES: Final = "integration/schedules/test_api_refusals.py"
_FIELDS: Final = "integration/test_task_fields.py"

INPUTS: Final[list[Mutant]] = [
    *mutants_of(
        "query",
        "access_app/http/query.py",
        "unit/test_query.py",
        ("once", 41, "if len(value) > 1 and not self.repeated:", "if False:"),
        ("bad", 41, "if self.errors:", "if self.errors and False:"),
        ("default", 41, "return defaults | cls(data).meanings()", "return cls(data).meanings()"),
        ("unknown", 41, "if unknown := data.keys() - known:", "if (unknown := data.keys() - known) and False:"),
        ("many", 41, "sorted(unknown)[:20]", "sorted(unknown)"),
        ("long", 41, "{name[:100]:", "{name:"),
        ("choice", 41, "if text not in among:", "if False:"),
        ("form", 41, "if not pattern.fullmatch(text):", "if not pattern.match(text):", _FILTERS),
        ("range", 41, " or not low <= int(text) <= high:", ":"),
        ("flag", 41, 'if text not in ("true", "false"):', "if False:"),
        ("uuid", 41, "if not UUID_TEXT.fullmatch(text):", "if False:"),
    ),
    *mutants_of(
        "query",
        "access_app/http/viewsets.py",
        _FILTERS,
        ("refused", 41, "            refuse_unknown(request.GET,", "            0 and refuse_unknown(request.GET,"),
    ),
    *mutants_of(
        "filters",
        "access_app/http/filters.py",
        "unit/test_query.py::TestListFilters",
        ("both", 41, 'if {"cursor", "page"} <= self.fields.keys():', "if False:"),
        ("named", 41, "for name in found if name in self.filters)", "for name in found if False)"),
        ("own-order", 41, 'found.get("sort") or self.default_sort()', "self.default_sort()"),
        ("comma", 41, '(("asc", "desc") if comma else ("",))', '("asc", "desc", "")', _FILTERS),
        ("size", 41, "whole(1, MAX_SIZE)", "whole(1, 10**6)", _FILTERS),
        ("page", 41, "whole(0, MAX_PAGE)", "whole(0, 10**9)", _FILTERS),
        (
            "scope",
            41,
            "            scope=scope,",
            '            scope="",',
            f"{_LIST}::TestKeysetPages::test_a_cursor_belongs_to_its_filters_and_sort",
        ),
    ),
    *mutants_of(
        "fields",
        "tasks_app/fields.py",
        "unit/test_new_tasks.py",
        (
            "payload",
            40,
            "Asked(_PAYLOAD, edit=True, listed=False)",
            "Asked(_PAYLOAD, edit=True)",
            f"{_LIST}::TestItems",
        ),
        (
            "retry",
            13,
            "read_options), null=True, form=False)]",
            "read_options), null=True)]",
            f"{_FIELDS}::TestFormFields",
        ),
        ("type", 13, "Annotated[str, Asked(TEXT)]", "Annotated[str, Asked(TEXT, edit=True)]", _EDIT),
        ("template", 21, "edit=True, template=False, cloned=False)", "edit=True, cloned=False)", _SCHEDULES),
        ("queue", 41, "[A-Za-z0-9._:-]{1,100}", "[A-Za-z0-9._: -]{1,100}"),
        ("priority", 28, "whole(-100, 100)", "whole(-1000, 1000)"),
        ("time-out", 32, "whole(1, MAX_TIMEOUT_MS)", "whole(0, MAX_TIMEOUT_MS)"),
        ("retries", 17, "whole(0, 1000)", "whole(-1, 1000)"),
        ("key", 19, "Asked(visible(200), _ONE", "Asked(visible(2000), _ONE"),
    ),
    *mutants_of(
        "forms",
        "tasks_app/admin/new_task.py",
        f"{_FIELDS}::TestFormFields",
        ("apart", 45, "own = cls.base_fields.get(row.column) is TaskForm.base_fields.get(row.column)", "own = True"),
        ("problems", 45, "names = {row.name: form.name_of(row)", "names = {row.name: row.column"),
    ),
]
