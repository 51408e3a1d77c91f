"""HTTP: sends one request, through the egress guard, within the task's time-out, and judges the response by its status.

The flow of an attempt: parse the payload (`http_payload`), dial through the guard (`egress`) under a lifeline
(`lifeline`), send (`http_transport`), follow redirects by hand, read a bounded reply (`http_reply`), judge. Retries
between attempts are the scheduler's business, not done here.
"""

from __future__ import annotations

import http
import http.client
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import requests
from django.conf import settings
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError

from tasks_app.conf import Config
from tasks_app.executors.base import Execution, JsonObject, Outcome, PayloadError, StopReason
from tasks_app.executors.egress import Dialer, EgressDenied, Resolver, Unreachable, system_resolver
from tasks_app.executors.http_docs import DOCS
from tasks_app.executors.http_failures import NetworkFailure, Phase, explain
from tasks_app.executors.http_payload import HttpCall, RedirectRefused, host_of
from tasks_app.executors.http_reply import Reply, parse_retry_after
from tasks_app.executors.http_transport import GuardedSession, trusted_roots
from tasks_app.executors.lifeline import Lifeline, Stopped
from tasks_app.references import Kind, Place
from tasks_app.states import ErrorCode

MAX_REDIRECTS = 10
USER_AGENT = "task-scheduler/1"

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: With a Retry-After they speak for all who call the host.
_TOO_BUSY = frozenset({429, 503})
_TRY_AGAIN = frozenset({408, 425, 429, *range(500, 600)})
#: Many peers that speak TLS hang up on plain text without a word; so do others that crash.
_PERHAPS_TLS = "; if it speaks TLS there, the URL should begin with https://"
_NETWORK_ERRORS = (NetworkFailure, requests.RequestException, HTTPError, http.client.HTTPException, OSError)


class HttpExecutor:
    """Shared by all pool threads; the only thing kept between attempts is each thread's TLS context."""

    type = "HTTP"
    required_scope: str | None = None
    docs = DOCS

    def __init__(
        self,
        config: Config | None = None,
        *,
        resolver: Resolver = system_resolver,
        roots: Callable[[], ssl.SSLContext] = trusted_roots,
    ) -> None:
        self._config = config
        self._resolver = resolver
        self._roots = roots
        self._thread = threading.local()

    def validate(self, payload: JsonObject) -> None:
        HttpCall.parse(payload)

    def input_at(self, payload: JsonObject, place: Place) -> Kind:
        """The body, whole or in part, and values of headers. Where the request goes is not up to a result."""
        match place:
            case ("body", *_):
                return Kind.ANY
            case ("headers", str()):
                return Kind.TEXT
        raise ValueError("takes no $from: body and values of headers do")

    def target(self, payload: JsonObject) -> str:
        return host_of(payload["url"])

    def execute(self, execution: Execution) -> Outcome:
        try:
            call = HttpCall.parse(execution.payload)
        except PayloadError as error:  # stored by another version: no retry will mend it
            return Outcome.failure(ErrorCode.TASK_FAILED, f"payload: {error}", retryable=False)
        if execution.token is not None:  # with the caller's headers, and so to no other origin
            call = replace(call, headers={**call.headers, "X-Task-Token": execution.token})
        config: Config = self._config or settings.SCHEDULER
        with Lifeline(execution) as lifeline:
            dial = Dialer(lifeline, allowed=config.http_allowed_private_networks, resolver=self._resolver)
            with GuardedSession(dial, lifeline.enter, self._tls) as session:
                return _Exchange(execution, call, session, lifeline).run()

    def _tls(self) -> ssl.SSLContext:
        if not hasattr(self._thread, "tls"):
            self._thread.tls = self._roots()
        context: ssl.SSLContext = self._thread.tls
        return context


class _Exchange:
    """One attempt: from the call to its outcome."""

    def __init__(self, execution: Execution, call: HttpCall, session: GuardedSession, lifeline: Lifeline) -> None:
        self._execution = execution
        self._call = call
        self._session = session
        self._lifeline = lifeline
        self._started = time.monotonic()
        self._reply: Reply | None = None

    def run(self) -> Outcome:
        try:
            reply = self._converse()
            self._lifeline.check()  # a body without a length ends the same way when a stop shut the connection down
        except Stopped:
            return self._stopped()
        except EgressDenied as error:
            return self._failed(ErrorCode.EGRESS_DENIED, str(error), retryable=False)
        except RedirectRefused as error:
            return self._failed(ErrorCode.HTTP_STATUS, f"answered with a redirect that {error}", retryable=False)
        except _NETWORK_ERRORS as error:
            return self._network_failure(error)
        return judge(self._call, reply, now=datetime.now(UTC))

    def _converse(self) -> Reply:
        """Send the call and what it is redirected to, until a response is final; read that one's body."""
        visited = set()
        for hop in range(MAX_REDIRECTS + 1):
            visited.add((self._call.method, self._call.url))
            with self._send() as response:
                self._reply = reply = Reply.begin(response.raw, started=self._started)
                location = reply.header("location")
                if not self._call.follow_redirects or reply.status not in _REDIRECTS or location is None:
                    self._lifeline.enter(Phase.BODY)
                    reply.read(response.raw)
                    return reply
            if hop < MAX_REDIRECTS:
                self._call = self._call.redirected(reply.status, location)
        circle = "leads in a circle: it " if len(visited) <= MAX_REDIRECTS else ""
        raise RedirectRefused(f"{circle}is one more than the {MAX_REDIRECTS} that are followed")

    def _send(self) -> requests.Response:
        self._lifeline.check()
        self._reply = None
        timeout = self._lifeline.remaining or 0.001  # a second guard behind the lifeline's
        return self._session.send(self._prepare(), stream=True, allow_redirects=False, timeout=timeout)

    def _prepare(self) -> requests.PreparedRequest:
        execution = self._execution
        headers: CaseInsensitiveDict[str] = CaseInsensitiveDict(
            {
                "User-Agent": USER_AGENT,
                "Accept": "*/*",
                "Accept-Encoding": "identity",  # nothing to inflate, unless the caller asks for it
                "Idempotency-Key": str(execution.task_id),  # the same for every attempt
            }
        )
        headers.update(self._call.headers)
        headers["Connection"] = "close"  # the peer closes first, and keeps the TIME_WAIT
        headers["X-Task-Id"] = str(execution.task_id)
        headers["X-Task-Attempt"] = str(execution.attempt)
        if execution.batch_id is not None:
            headers["X-Task-Batch-Id"] = execution.batch_id
        headers["X-Correlation-ID"] = execution.correlation_id
        if execution.scheduled_for_text is not None:
            headers["X-Scheduled-For"] = execution.scheduled_for_text
        # Not `Session.prepare_request`: it would merge in what the session knows.
        return requests.Request(self._call.method, self._call.url, headers=headers, data=self._call.body).prepare()

    def _network_failure(self, error: Exception) -> Outcome:
        try:
            self._lifeline.check()
        except Stopped:  # we broke the connection ourselves
            return self._stopped()
        phase = self._lifeline.phase
        words = explain(error, phase)
        if phase is Phase.WAIT and not self._call.url.lower().startswith("https:"):
            words += _PERHAPS_TLS
        text = words if isinstance(error, Unreachable) else f"no complete answer: {words}"
        return self._failed(ErrorCode.NETWORK, text, retryable=True)

    def _failed(self, code: ErrorCode, message: str, *, retryable: bool) -> Outcome:
        return Outcome.failure(code, message, result=self._partial(), retryable=retryable)

    def _stopped(self) -> Outcome:
        reason, result = self._execution.stop_reason, self._partial()
        assert reason is not None
        if result is not None:
            result["bodyTruncated"] = True  # our shutdown looks like the end of a body without a length
        outcome = Outcome.stopped(reason, timeout=self._execution.timeout, result=result)
        if reason is not StopReason.DEADLINE:
            return outcome
        return replace(outcome, error_message=f"{outcome.error_message}: it was still {self._lifeline.phase}")

    def _partial(self) -> JsonObject | None:
        return self._reply.result() if self._reply else None


def judge(call: HttpCall, reply: Reply, *, now: datetime) -> Outcome:
    """The outcome of a complete response: 408, 425, 429 and 5xx that were not expected are worth another try."""
    if any(reply.status in expected for expected in call.expected):
        return Outcome.success(reply.result())
    retryable = reply.status in _TRY_AGAIN
    retry_after = parse_retry_after(reply.header("retry-after"), now) if retryable else None
    failure = Outcome.failure(
        ErrorCode.HTTP_STATUS,
        f"answered {reply.status}{_phrase(reply.status)}{_way_out(call, reply)}",
        result=reply.result(),
        retryable=retryable,
        retry_after=retry_after,
    )
    if retry_after is None or reply.status not in _TOO_BUSY:
        return failure
    return replace(failure, busy_target=host_of(call.url))


def _phrase(status: int) -> str:
    """The standard's words for a status, not the peer's."""
    try:
        return f" {http.HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def _way_out(call: HttpCall, reply: Reply) -> str:
    """What to do about a redirect that was not followed because nobody said that it should be."""
    unfollowed = reply.status in _REDIRECTS and not call.follow_redirects and reply.header("location") is not None
    return ": set followRedirects, or name the URL that it leads to" if unfollowed else ""
