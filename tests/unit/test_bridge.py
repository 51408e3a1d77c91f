"""Requests to threads and responses back: whatever becomes of the client, what the application made is closed."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from scheduler_project.web.bridge import Bridge

SCOPE = {
    "method": "GET",
    "raw_path": b"/",
    "query_string": b"",
    "http_version": "1.1",
    "scheme": "http",
    "headers": [],
    "server": None,
    "client": None,
    "gone": lambda: False,
}


class Application:
    """It responds when it is let, in pieces."""

    def __init__(self) -> None:
        self.asked, self.let, self.closed = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Application:
        self.asked.set()
        assert self.let.wait(10)
        start_response("200 OK", [])
        return self

    def __iter__(self) -> Any:
        return iter([b"piece"])

    def close(self) -> None:
        self.closed.set()


async def receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b""}


async def send(_: dict[str, Any]) -> None:
    pass


class TestBridge:
    @pytest.mark.parametrize("when", ["before there is one", "while it is on its way"])
    def test_closes_the_response_of_a_client_that_has_gone(self, when: str) -> None:
        application = Application()

        async def lose_the_client() -> None:
            bridge = Bridge(application, threads=1, largest=1000)
            serving = asyncio.ensure_future(bridge(SCOPE, receive, send))
            assert await asyncio.to_thread(application.asked.wait, 10)
            if when == "while it is on its way":
                application.let.set()
                bridge._pool.submit(int).result()  # behind it, in the only thread
            serving.cancel()
            await asyncio.wait([serving])
            application.let.set()
            assert await asyncio.to_thread(application.closed.wait, 5)
            bridge.close()

        asyncio.run(lose_the_client())
