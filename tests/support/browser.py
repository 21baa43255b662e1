"""A real browser: Chromium without a window, of which each test has its own pages."""

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.waiting import DEADLINE, wait_until
from websockets.sync.client import ClientConnection, connect

BINARY = shutil.which("chromium") or shutil.which("chromium-browser")
START_DEADLINE = 3 * DEADLINE
OPTIONS = (
    "--headless=new",
    # It refuses to run as root with it.
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-proxy-server",
)

needs_browser = pytest.mark.skipif(BINARY is None, reason="no chromium is installed")


def browser_command(profile: Path, *more: str) -> list[str]:
    """How the browser is started, with a profile of its own."""
    return [BINARY or "chromium", *OPTIONS, f"--user-data-dir={profile}", *more]


class Page:
    """A page in a browser, driven over the DevTools protocol. `events` is what it was told of the page, once asked."""

    def __init__(self, tools: ClientConnection) -> None:
        self.events: list[dict[str, Any]] = []
        self._tools = tools
        self._number = 0

    def command(self, method: str, **params: Any) -> Any:
        """Has the browser do something with the page; returns the result, or {} if it cannot."""
        self._number += 1
        self._tools.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while (answer := json.loads(self._tools.recv(DEADLINE))).get("id") != self._number:
            self.events.append(answer)
        return answer.get("result", {})

    def run(self, script: str) -> Any:
        """Evaluates JavaScript in the page; returns the value, None while the page is not there yet."""
        evaluated = self.command("Runtime.evaluate", expression=script, returnByValue=True)
        return evaluated.get("result", {}).get("value")

    def text(self) -> str:
        """What the page shows."""
        return str(self.run("document.body.innerText"))

    def told(self, method: str) -> list[dict[str, Any]]:
        """The params of the events of a kind."""
        return [event["params"] for event in self.events if event["method"] == method]


@contextmanager
def browser(profile: Path) -> Iterator[str]:
    """Starts the browser; gives the URL of its DevTools."""
    process = subprocess.Popen(
        browser_command(profile, "--remote-debugging-port=0", "about:blank"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        port = profile / "DevToolsActivePort"
        wait_until(lambda: port.exists() and "\n" in port.read_text(), "Chromium to start", START_DEADLINE)
        yield f"http://127.0.0.1:{port.read_text().splitlines()[0]}"
    finally:
        process.terminate()
        process.wait(DEADLINE)


@contextmanager
def open_page(tools: str, url: str = "about:blank") -> Iterator[Page]:
    """Opens a URL in a page of its own, which is closed in the end."""
    opened = json.loads(ask(f"{tools}/json/new?{url}", "PUT"))
    try:
        with connect(opened["webSocketDebuggerUrl"], max_size=None, open_timeout=DEADLINE) as connection:
            yield Page(connection)
    finally:
        ask(f"{tools}/json/close/{opened['id']}")


def ask(url: str, method: str = "GET") -> bytes:
    """What the browser answers at its DevTools."""
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=DEADLINE) as answer:
        return bytes(answer.read())
