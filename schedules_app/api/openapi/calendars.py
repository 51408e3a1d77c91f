"""What the document says of calendars: schemas, paths, examples."""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.lists import pages, parameters_of, sort_set
from access_app.http.openapi.operations import BODY_PROBLEMS, body, in_path, operation, response
from access_app.http.openapi.schemas import INSTANT, NAME, Json, array, choice, closed_set, obj, ref, schema, unset
from access_app.rights import Action
from schedules_app.api.filters import CalendarFilters
from schedules_app.api.openapi.examples import PAGE
from schedules_app.api.openapi.paths import page_responses
from schedules_app.api.openapi.schemas import DESCRIPTION, TIMEZONE, VERSION
from schedules_app.calendars import MAX_RANGES, WEEKDAYS, OnBlackout

_IF_MATCH: Final = ref("parameters", "IfMatch")
_CALENDAR_NAME: Final[Json] = in_path("name", NAME)
_CALENDAR: Final[Json] = {
    "name": NAME,
    "description": DESCRIPTION | {"default": ""},
    "timezone": TIMEZONE | {"default": "UTC"},
    "onBlackout": choice("OnBlackout", default="skip"),
    "ranges": array(schema("BlackoutRange"), minItems=1, maxItems=MAX_RANGES),
}
_TIME: Final[Json] = {"type": "string", "pattern": "^[0-2][0-9]:[0-5][0-9]$"}
_NEW: Final[Json] = {
    "nights": {
        "summary": "Not at night: what falls in runs in the morning",
        "value": {
            "name": "nights",
            "timezone": "Europe/Berlin",
            "onBlackout": "run_at_end",
            "ranges": [{"weekdays": ["mon", "tue", "wed", "thu", "fri"], "from": "22:00", "to": "06:00"}],
        },
    },
    "holidays": {
        "summary": "Not on holidays, nor during the move",
        "value": {
            "name": "holidays",
            "ranges": [
                {"dates": "12-24/12-26"},
                {"from": "2030-05-02T00:00:00Z", "to": "2030-05-04T12:00:00Z"},
            ],
        },
    },
}
_EXAMPLE: Final[Json] = {
    "name": "holidays",
    "description": "",
    "timezone": "UTC",
    "onBlackout": "skip",
    "ranges": [{"dates": "12-24/12-26"}],
    "version": 1,
    "createdBy": "reports",
    "createdAt": "2030-01-31T10:59:59.998000Z",
    "updatedAt": "2030-01-31T10:59:59.998000Z",
}
_PAGE: Final[Json] = {"content": [_EXAMPLE]} | PAGE


def _calendar(description: str, *headers: str) -> Json:
    return response(description, schema("Calendar"), headers=("ETag", *headers), example=_EXAMPLE)


SCHEMAS: Final[Json] = {
    "OnBlackout": closed_set(OnBlackout, "What becomes of a slot that falls into a blackout."),
    "Weekday": closed_set(WEEKDAYS, "A day of the week."),
    "BlackoutSpan": obj({"from": INSTANT, "to": INSTANT}, description="From an instant to another."),
    "BlackoutWeekdays": obj(
        {
            "weekdays": array(schema("Weekday"), minItems=1, maxItems=7),
            "from": _TIME,
            "to": _TIME | {"description": "Not later than from: on the next day."},
        }
    ),
    "BlackoutDates": obj(
        {
            "dates": {
                "type": "string",
                "pattern": "^[0-9]{2}-[0-9]{2}(/[0-9]{2}-[0-9]{2})?$",
                "description": "MM-DD or MM-DD/MM-DD: whole days, every year, both included.",
            }
        }
    ),
    "BlackoutRange": {"oneOf": [schema(f"Blackout{kind}") for kind in ("Span", "Weekdays", "Dates")]},
    "NewCalendar": obj(_CALENDAR, required=["name", "ranges"]),
    "CalendarChanges": obj(
        unset({name: value for name, value in _CALENDAR.items() if name != "name"}), required=[], minProperties=1
    ),
    "Calendar": obj(
        _CALENDAR
        | {
            "version": VERSION | {"description": "Grows with every edit; also the ETag."},
            "createdBy": {"type": "string"},
            "createdAt": INSTANT,
            "updatedAt": INSTANT,
        }
    ),
    **pages("Calendar"),
    "CalendarSort": sort_set(CalendarFilters),
}
PATHS: Final[Json] = {
    "/calendars": {
        "get": operation(
            "calendars",
            "listCalendars",
            "List calendars",
            page_responses("Calendar", _PAGE),
            action=Action.CALENDAR_READ,
            parameters=parameters_of(CalendarFilters),
        ),
        "post": operation(
            "calendars",
            "createCalendar",
            "Create a calendar",
            {201: _calendar("Created.", "Location")},
            action=Action.CALENDAR_CREATE,
            problems=(*BODY_PROBLEMS, 409),
            requestBody=body(schema("NewCalendar"), examples=_NEW),
        ),
    },
    "/calendars/{name}": {
        "parameters": [_CALENDAR_NAME],
        "get": operation(
            "calendars",
            "getCalendar",
            "Read a calendar",
            {200: _calendar("The calendar."), 304: response("It has not changed.", None, headers=("ETag",))},
            action=Action.CALENDAR_READ,
            problems=(404,),
            parameters=[ref("parameters", "IfNoneMatch")],
        ),
        "patch": operation(
            "calendars",
            "editCalendar",
            "Change a calendar",
            {200: _calendar("The calendar as it is now.")},
            action=Action.CALENDAR_EDIT,
            problems=(*BODY_PROBLEMS, 404, 412),
            description="Takes effect at once. `ranges` are replaced whole. It says when the schedules that name it "
            "run, and so needs what their tasks need.",
            parameters=[_IF_MATCH],
            requestBody=body(schema("CalendarChanges"), examples={"later": {"value": {"onBlackout": "run_at_end"}}}),
        ),
        "delete": operation(
            "calendars",
            "deleteCalendar",
            "Delete a calendar that no schedule names",
            {204: response("Deleted.", None)},
            action=Action.CALENDAR_DELETE,
            problems=(404, 409, 412),
            parameters=[_IF_MATCH],
        ),
    },
}
