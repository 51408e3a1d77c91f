"""What is told of an end, to whom, under which ids, and in which words. Pure.

Sources: Standard Webhooks 1.0 (payload ``{type, timestamp, data}``, ids without a dot, the times of retries).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

from access_app.http.times import show_instant
from access_app.ids import derived_id
from tasks_app.callbacks import ENDS, CallbackOn, Include
from tasks_app.states import ErrorCode, TaskStatus

#: Deliveries are tasks of this queue.
QUEUE: Final = "callbacks"
#: When an attempt follows that one before it has failed, as the specification recommends: over three days.
RETRY_DELAYS: Final = tuple(
    timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
#: How long a receiver may take.
TIMEOUT: Final = timedelta(seconds=15)
#: A receiver from which nothing has arrived for so long is given up.
GIVEN_UP_AFTER: Final = timedelta(days=5)
#: More of a result is left out.
MOST_OF_A_RESULT: Final = 20_000
#: At most so many deliveries to one receiver are on their way at once: one that hangs holds no more slots.
LANES: Final = 4


class Event(StrEnum):
    """What a message is about."""

    SUCCEEDED = "task.succeeded"
    FAILED = "task.failed"
    CANCELLED = "task.cancelled"
    QUARANTINED = "task.quarantined"
    #: A result has come after its attempt was taken away. It is no end, and changes no task.
    LATE_RESULT = "task.late_result"


class Disabled(StrEnum):
    """Why nothing is delivered to an endpoint."""

    #: It answered 410.
    GONE = "gone"
    #: Nothing has arrived for `GIVEN_UP_AFTER`.
    FAILING = "failing"
    #: Somebody said so.
    BY_HAND = "by_hand"


class End(NamedTuple):
    """A task that has ended, as it is told of; or one whose result came too late, as it stands by then."""

    id: UUID
    type: str
    queue: str
    status: str
    attempt: int
    version: int
    finished_at: datetime | None
    correlation_id: str
    #: As JSON, as are the results.
    callback: str | None = None
    error_code: str | None = None
    #: Of the reply, if the task called somebody.
    status_code: str | None = None
    result: str | None = None
    #: When it came too late, and how that attempt has ended.
    late_at: datetime | None = None
    late_outcome: str | None = None

    @property
    def at(self) -> datetime:
        """When there was something to tell."""
        at = self.late_at or self.finished_at
        assert at is not None
        return at

    @property
    def event(self) -> Event:
        """The most that can be said of it."""
        if self.late_at is not None:
            return Event.LATE_RESULT
        if self.error_code == ErrorCode.QUARANTINED:
            return Event.QUARANTINED
        return _EVENTS[TaskStatus(self.status)]


@dataclass(frozen=True, slots=True)
class Receiver:
    """An endpoint, as far as it decides who is told of what."""

    id: UUID
    name: str
    url: str
    events: frozenset[str]
    queues: Collection[str] | None
    include: str | None
    ordered: bool

    def hears(self, end: End) -> bool:
        """Whether its own filters let it hear of an end."""
        return (self.queues is None or end.queue in self.queues) and not self.events.isdisjoint(_heard_as(end.event))


class Message(NamedTuple):
    """What is to be delivered: of which end, to which url, for which endpoint, and whether with the result."""

    end: End
    url: str
    receiver: Receiver | None
    include: str | None

    @property
    def delivery_id(self) -> UUID:
        """Made of what it is about: of a task, its end and its receiver, there is one, however often it is made."""
        end = self.end
        which = end.version if end.late_at is None else f"late {end.attempt}"
        return derived_id(end.at, f"{end.id} {which} {self.receiver.id if self.receiver else self.url}")

    @property
    def webhook_id(self) -> str:
        return f"msg_{self.delivery_id.hex}"

    @property
    def body(self) -> str:
        """The same each time it is made, so that a receiver that kept it can compare."""
        end = self.end
        task: dict[str, Any] = {
            "id": str(end.id),
            "type": end.type,
            "queue": end.queue,
            "status": end.status,
            "attempt": end.attempt,
            "correlationId": end.correlation_id,
            "finishedAt": None if end.finished_at is None else _shown(end.finished_at),
            "errorCode": end.error_code,
        }
        if end.late_at is not None:
            task["outcome"] = end.late_outcome
        text = _json(task)
        if self.include == Include.RESULT:
            text = f"{text[:-1]},{_result(end.result)}}}"
        links = _json({"task": f"/tasks/{end.id}"})
        about = f'"type":"{end.event}","timestamp":"{_shown(end.at)}"'
        return f'{{{about},"data":{{"task":{text},"links":{links}}}}}'


def messages(ends: Iterable[End], receivers: Collection[Receiver]) -> Iterator[Message]:
    """Who is told of what: each endpoint at most once of an end, whether it listens or the task names it."""
    named = {receiver.name: receiver for receiver in receivers}
    for end in ends:
        asked = _asked_for(end)
        chosen = named.get(asked.get("endpoint", ""))
        for receiver in receivers:
            if receiver is chosen:
                yield Message(end, receiver.url, receiver, asked.get("include") or receiver.include)
            elif receiver.hears(end):
                yield Message(end, receiver.url, receiver, receiver.include)
        if "url" in asked:
            yield Message(end, asked["url"], None, asked.get("include"))


def statuses_of(events: Iterable[Event]) -> list[str]:
    """How the tasks have ended that such events are about."""
    found = {TaskStatus.FAILED if event is Event.QUARANTINED else _STATUSES.get(event) for event in events}
    return sorted(str(status) for status in found if status is not None)


def _asked_for(end: End) -> Mapping[str, Any]:
    """The task's own callback, if it is about such an end."""
    callback: Mapping[str, Any] = json.loads(end.callback) if end.callback else {}
    return callback if _WORDS[end.event] in callback.get("on", ENDS) else {}


def _shown(instant: datetime) -> str | None:
    return show_instant(instant.astimezone(UTC))


def _result(result: str | None) -> str:
    """As it was stored: read and written again, numbers might not be what they were."""
    if result is None or len(result.encode()) > MOST_OF_A_RESULT:
        return f'"result":null,"resultLeftOut":{_json(result is not None)}'
    return f'"result":{result},"resultLeftOut":false'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _heard_as(event: Event) -> frozenset[str]:
    """A quarantined task has failed, too."""
    return frozenset({event, Event.FAILED}) if event is Event.QUARANTINED else frozenset({event})


_EVENTS: Final = {
    TaskStatus.SUCCESS: Event.SUCCEEDED,
    TaskStatus.FAILED: Event.FAILED,
    TaskStatus.CANCELLED: Event.CANCELLED,
}
_STATUSES: Final = {event: status for status, event in _EVENTS.items()}
_WORDS: Final = {
    Event.SUCCEEDED: CallbackOn.SUCCEEDED,
    Event.FAILED: CallbackOn.FAILED,
    Event.QUARANTINED: CallbackOn.FAILED,
    Event.CANCELLED: CallbackOn.CANCELLED,
    Event.LATE_RESULT: CallbackOn.LATE_RESULT,
}
