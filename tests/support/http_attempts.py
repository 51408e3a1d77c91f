"""One attempt of an HTTP task against a peer on loopback, and what is said of its outcome."""

from __future__ import annotations

import re
import socket
import ssl
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from urllib3.util.ssl_ import create_urllib3_context

from tasks_app import conf
from tasks_app.executors.base import Execution, Outcome
from tasks_app.executors.egress import AddressInfo
from tasks_app.executors.http import HttpExecutor
from tasks_app.states import ErrorCode, ExecutionStatus
from tests.support.peers import TLS

LOOPBACK = conf.load({"HTTP_ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8,::1/128"})
_JARGON = re.compile(
    r"_ssl|\[\w|errno|0x|http\.client|urllib3|requests|Pool|Error|Exception|Incomplete|NoneType|None|object|<|>|b'|\"|\{|"
    r"Name or service|Max retries|Connection aborted|timed out|EOF|self signed|verify failed|  |\.$"
)
TASK = uuid.UUID("01234567-89ab-7def-8123-456789abcdef")


def no_dns(host: str, port: int) -> Sequence[AddressInfo]:
    raise AssertionError(f"{host} was looked up")


def names(**addresses: str) -> Callable[[str, int], Sequence[AddressInfo]]:
    """A resolver that knows just these; dots are written as underscores."""
    known = {name.replace("_", "."): address for name, address in addresses.items()}
    return lambda host, port: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (known[host.rstrip(".")], port))]


def trusting(name: str) -> ssl.SSLContext:
    context = create_urllib3_context()
    context.load_verify_locations(TLS / f"{name}.pem")
    return context


def trusting_the_test_ca() -> ssl.SSLContext:
    return trusting("ca")


def attempt(payload: dict[str, Any], *, seconds: float = 10, number: int = 1) -> Execution:
    deadline = time.monotonic() + seconds
    return Execution(TASK, number, "HTTP", payload, timedelta(seconds=seconds), "corr-1", deadline=deadline)


def run(url: str, *, executor: HttpExecutor | None = None, **payload: Any) -> Outcome:
    return (executor or HttpExecutor(LOOPBACK, resolver=no_dns)).execute(attempt({"url": url, **payload}))


def assert_body(outcome: Outcome, body: str, *, truncated: bool) -> None:
    assert outcome.status is ExecutionStatus.SUCCESS, outcome
    assert outcome.result is not None
    assert outcome.result["body"] == body
    assert outcome.result["bodyTruncated"] is truncated


def assert_plain(message: str | None) -> None:
    """That a message is for people: none of the words of Python, its libraries or C in it, and one line."""
    assert message
    assert message.isprintable()
    assert len(message) < 400
    assert not _JARGON.search(message), message


def assert_network(outcome: Outcome, words: str) -> None:
    assert (outcome.status, outcome.error_code) == (ExecutionStatus.FAILED, ErrorCode.NETWORK), outcome
    assert outcome.retryable
    assert outcome.error_message is not None
    assert re.search(words, outcome.error_message), outcome.error_message
    assert_plain(outcome.error_message)
    assert "secret" not in outcome.error_message.replace("secret-free", "")


def assert_denied(outcome: Outcome) -> None:
    assert (outcome.status, outcome.error_code) == (ExecutionStatus.FAILED, ErrorCode.EGRESS_DENIED), outcome
    assert not outcome.retryable
    assert outcome.result is None
    assert outcome.error_message is not None
    assert "HTTP_ALLOWED_PRIVATE_NETWORKS" in outcome.error_message
    assert "secret" not in outcome.error_message
