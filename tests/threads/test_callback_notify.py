"""The callback of a program that is called while the server serves."""

import asyncio
from typing import Any

import pytest
from support.apps import hello
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.waiting import wait_until

from threadserve import Config
from threadserve.errors import ConfigError


def test_it_is_called_on_one_loop_until_the_server_stops(serve: Serve) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def notify() -> None:
        loops.append(asyncio.get_running_loop())

    server = serve(hello, threads=2, callback_notify=notify, timeout_notify=0.1)
    wait_until(lambda: len(loops) > 1, "two calls")
    server.stop()
    assert len(set(loops)) == 1
    assert loops[0].is_closed()


def test_one_that_fails_is_logged_and_called_again(serve: Serve, error_log: ErrorLog) -> None:
    async def notify() -> None:
        raise ValueError("nobody listens")

    server = serve(hello, callback_notify=notify, timeout_notify=0.1)
    for _ in range(2):
        error_log.expect(ValueError, "nobody listens")
    server.stop()
    error_log.claim_all()


def test_one_that_never_returns_is_cancelled_at_the_end(serve: Serve) -> None:
    calls: list[str] = []

    async def notify() -> None:
        calls.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            calls.append("ended")

    server = serve(hello, callback_notify=notify)
    wait_until(lambda: calls, "the call")
    server.stop()
    assert calls == ["begun", "ended"]


def test_an_interval_that_is_no_number() -> None:
    settings: dict[str, Any] = {"timeout_notify": "often"}
    with pytest.raises(ConfigError, match="timeout_notify: 'often' is not a number"):
        Config(hello, **settings)
