"""What a worker sends: as the published verifier of Standard Webhooks has it, each attempt with the secrets of then."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from standardwebhooks import WebhookVerificationError

from tasks_app import services
from tasks_app.executors.base import Outcome
from tasks_app.executors.registry import executor_for
from tasks_app.models import Task
from tasks_app.states import ErrorCode, ExecutionStatus
from tests.support.engine import Engine
from tests.support.http_attempts import LOOPBACK
from tests.support.peers import Peer, Received
from tests.support.webhooks import make_endpoint, receiver, verified
from workers_app.processes.held import Held
from workers_app.runner import execution_of
from workflows_app.callbacks.endpoints import delete_endpoint, edit_endpoint, rotate_secret
from workflows_app.callbacks.signing import seal
from workflows_app.callbacks.tables import Delivery, WebhookEndpoint
from workflows_app.endings import settle_endings

DOCUMENT = settings.BASE_DIR / "docs" / "callbacks.md"


@pytest.fixture(autouse=True)
def _loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Receivers are on loopback."""
    executor = executor_for("HTTP")
    monkeypatch.setattr(executor, "_config", LOOPBACK)


@pytest.fixture
def peer() -> Iterator[Peer]:
    with receiver() as made:
        yield made


class Calls:
    """A task ends, and a worker makes the attempts of its delivery."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.worker = engine.worker()

    def end(self, **fields: Any) -> Delivery:
        services.cancel_task(self.engine.create(**fields), actor="test")
        settle_endings(self.engine.session)
        settle_endings(self.engine.session)
        return Delivery.objects.get()

    def attempt(self) -> Outcome:
        self.engine.assign()
        [attempt] = self.engine.start(self.worker)
        sealed = seal(self.engine.session, [attempt])
        outcome = Held(attempt, execution_of(attempt), sealed=sealed.get(attempt.task_id)).run()
        self.engine.finish(self.worker, attempt, outcome)
        return outcome

    def again(self) -> Outcome:
        self.engine.move(Delivery.objects.get().pk, run_at=-timedelta(minutes=1))
        return self.attempt()


@pytest.fixture
def calls(engine: Engine) -> Calls:
    return Calls(engine)


class TestSeal:
    def test_an_independent_verifier_accepts_it(self, calls: Calls, peer: Peer) -> None:
        _, secret = make_endpoint(url=peer.url("/tasks?a=b"))
        delivery = calls.end()
        assert calls.attempt().status is ExecutionStatus.SUCCESS
        [received] = peer.requests
        assert verified(secret, received)["type"] == "task.cancelled"
        assert (received.method, received.target) == ("POST", "/tasks?a=b")
        assert received.headers["webhook-id"] == delivery.webhook_id
        assert received.headers["content-type"] == "application/json"
        with pytest.raises(WebhookVerificationError):
            verified(secret, dataclasses.replace(received, body=received.body + b" "))

    def test_attempts_have_one_id_and_a_time_of_their_own(self, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
        with receiver(503) as peer:
            _, secret = make_endpoint(url=peer.url())
            calls.end()
            calls.attempt()
            monkeypatch.setattr("workflows_app.callbacks.signing.time.time", lambda: 1_900_000_000.0)
            calls.again()
        first, second = peer.requests
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert second.headers["webhook-timestamp"] == "1900000000" != first.headers["webhook-timestamp"]
        assert verified(secret, first)
        with pytest.raises(WebhookVerificationError, match="too new"):
            verified(secret, second)

    def test_secrets_are_with_their_endpoint_and_nowhere_else(self, calls: Calls, peer: Peer) -> None:
        _, secret = make_endpoint(url=peer.url())
        calls.end()
        calls.attempt()
        [received] = peer.requests
        signed = received.headers["webhook-signature"].removeprefix("v1,")
        for table in ("tasks", "task_executions", "deliveries", "audit_events"):
            text = str(calls.engine.session.fetch(f"SELECT x::text FROM {table} x"))
            assert secret.removeprefix("whsec_") not in text
            assert base64.b64decode(secret.removeprefix("whsec_")).hex() not in text
            assert signed not in text

    def test_signs_with_both_secrets_while_one_is_rotated(self, calls: Calls, peer: Peer) -> None:
        endpoint, old = make_endpoint(url=peer.url())
        _, new = rotate_secret(endpoint.pk, actor="test")
        calls.end()
        calls.attempt()
        [received] = peer.requests
        assert len(received.headers["webhook-signature"].split(" ")) == 2
        assert verified(old, received) == verified(new, received)

    @pytest.mark.parametrize("how", ["at once", "later"])
    def test_the_old_secret_ends(self, calls: Calls, peer: Peer, how: str) -> None:
        endpoint, old = make_endpoint(url=peer.url())
        rotate_secret(endpoint.pk, actor="test", overlap=timedelta(0) if how == "at once" else timedelta(hours=1))
        if how == "later":
            calls.engine.session.execute("UPDATE webhook_endpoints SET previous_until = now()")
        calls.end()
        calls.attempt()
        [received] = peer.requests
        with pytest.raises(WebhookVerificationError):
            verified(old, received)

    def test_goes_to_the_url_that_the_endpoint_has_now(self, calls: Calls, peer: Peer) -> None:
        endpoint, secret = make_endpoint(url="http://127.0.0.1:1/gone")
        calls.end()
        edit_endpoint(endpoint.pk, {"url": peer.url()}, actor="test")
        calls.attempt()
        assert verified(secret, peer.requests[0])

    def test_the_url_of_a_task_is_called_unsigned(self, calls: Calls, peer: Peer) -> None:
        calls.end(callback={"url": peer.url()})
        calls.attempt()
        [received] = peer.requests
        assert "webhook-signature" not in received.headers
        assert received.headers.keys() >= {"webhook-id", "webhook-timestamp"}
        assert json.loads(received.body)["type"] == "task.cancelled"

    def test_other_tasks_are_left_alone(self, calls: Calls, peer: Peer) -> None:
        headers = {"webhook-id": "mine"}
        calls.engine.create(type="HTTP", payload={"url": peer.url(), "headers": headers})
        assert calls.attempt().status is ExecutionStatus.SUCCESS
        assert peer.requests[0].headers["webhook-id"] == "mine"
        assert "webhook-timestamp" not in peer.requests[0].headers


class TestSealed:
    """What is not sent, and what is tried again."""

    def refused(self, calls: Calls, peer: Peer) -> str:
        outcome = calls.attempt()
        assert (outcome.status, peer.requests) == (ExecutionStatus.FAILED, [])
        return str(outcome.error_message)

    @pytest.fixture
    def endpoint(self, calls: Calls, peer: Peer) -> WebhookEndpoint:
        endpoint, _ = make_endpoint(url=peer.url())
        calls.end()
        return endpoint

    def test_another_body_is_not_signed(self, calls: Calls, peer: Peer, endpoint: WebhookEndpoint) -> None:
        task = Task.objects.get(queue="callbacks")
        payload = task.payload | {"body": '{"type":"task.succeeded"}'}
        services.edit_task(task.pk, {"payload": payload}, actor="test")
        assert "is not that of the event" in self.refused(calls, peer)

    def test_nobody_else_gets_it(self, calls: Calls, peer: Peer, endpoint: WebhookEndpoint) -> None:
        task = Task.objects.get(queue="callbacks")
        with receiver() as thief:
            services.edit_task(task.pk, {"payload": task.payload | {"url": thief.url()}}, actor="test")
            calls.attempt()
            assert (len(thief.requests), len(peer.requests)) == (0, 1)

    def test_nor_does_a_clone_have_a_signature(self, calls: Calls, peer: Peer, endpoint: WebhookEndpoint) -> None:
        task = Task.objects.get(queue="callbacks")
        services.cancel_task(task.pk, actor="test")
        services.clone_task(task.pk, actor="test")
        calls.attempt()
        assert "webhook-signature" not in peer.requests[0].headers

    def test_a_disabled_endpoint_is_not_called(self, calls: Calls, peer: Peer, endpoint: WebhookEndpoint) -> None:
        edit_endpoint(endpoint.pk, {"enabled": False}, actor="test")
        assert self.refused(calls, peer) == "its endpoint is disabled"

    def test_nor_is_one_that_was_deleted(self, calls: Calls, peer: Peer, endpoint: WebhookEndpoint) -> None:
        delete_endpoint(endpoint.pk, actor="test")
        assert self.refused(calls, peer) == "its endpoint was deleted"

    @pytest.mark.parametrize(("status", "again"), [(301, True), (404, True), (500, True), (410, False)])
    def test_what_is_no_success_is_tried_again_but_410(self, calls: Calls, status: int, again: bool) -> None:
        with receiver(status) as peer:
            make_endpoint(url=peer.url())
            calls.end()
            outcome = calls.attempt()
        assert (outcome.error_code, outcome.retryable) == (ErrorCode.HTTP_STATUS, again)
        task = Task.objects.get(queue="callbacks")
        assert (task.status == "PENDING") is again
        if again:
            assert timedelta(seconds=2) < task.run_at - task.updated_at <= timedelta(seconds=5)

    def test_the_egress_guard_judges_it(self, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
        closed = dataclasses.replace(LOOPBACK, http_allowed_private_networks=())
        monkeypatch.setattr(executor_for("HTTP"), "_config", closed)
        make_endpoint(url="http://127.0.0.1:1/")
        calls.end()
        assert calls.attempt().error_code is ErrorCode.EGRESS_DENIED


def blocks(language: str) -> str:
    [text] = re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    return str(text)


def by_python(secret: str, received: Received) -> bool:
    scope: dict[str, Any] = {}
    exec(blocks("python"), scope)
    return bool(scope["verified"](secret, received.headers, received.body))


def by_javascript(secret: str, received: Received) -> bool:
    script = (
        "let all = ''; process.stdin.on('data', (more) => all += more).on('end', () => {"
        " const given = JSON.parse(all); process.exit(verified(given.secret, given.headers, given.body) ? 0 : 1); });"
    )
    given = {"secret": secret, "headers": received.headers, "body": received.body.decode()}
    return _passes(["node", "-e", blocks("js") + script], json.dumps(given).encode())


def by_shell(secret: str, received: Received) -> bool:
    headers = [received.headers[f"webhook-{name}"] for name in ("id", "timestamp", "signature")]
    return _passes(["sh", "-c", blocks("sh") + 'verified "$@"', "sh", secret, *headers], received.body)


def _passes(command: list[str], given: bytes) -> bool:
    done = subprocess.run(command, input=given, capture_output=True, timeout=30, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert done.stderr == b""
    return done.returncode == 0


needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no node (apt: nodejs)")
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl (apt: openssl)")


class TestVerifiers:
    """Those of the document, against what a worker sends."""

    @pytest.mark.parametrize(
        "verifies",
        [
            pytest.param(by_python, id="python"),
            pytest.param(by_javascript, id="javascript", marks=needs_node),
            pytest.param(by_shell, id="shell", marks=needs_openssl),
        ],
    )
    def test_accept_what_is_sent_and_nothing_else(
        self, calls: Calls, peer: Peer, verifies: Callable[[str, Received], bool]
    ) -> None:
        endpoint, old = make_endpoint(url=peer.url())
        _, secret = rotate_secret(endpoint.pk, actor="test")
        calls.end(queue="ü".encode().hex(), correlation_id="c")
        calls.attempt()
        [received] = peer.requests
        late = {**received.headers, "webhook-timestamp": str(int(received.headers["webhook-timestamp"]) - 600)}
        cases = {
            "new": (secret, received),
            "old": (old, received),
            "another": ("whsec_" + "A" * 43 + "=", received),
            "body": (secret, dataclasses.replace(received, body=received.body + b" ")),
            "late": (secret, dataclasses.replace(received, headers=late)),
        }
        found = {name: verifies(*case) for name, case in cases.items()}
        assert found == {"new": True, "old": True, "another": False, "body": False, "late": False}
