"""A real browser: a page that has fetches, a WebSocket and an event stream side by side, all on one connection."""

import asyncio
import base64
import hashlib
import json
import queue
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.apps import body, read_body, respond, start
from support.browser import browser_command, needs_browser
from support.certificates import Authority, Identity, needs_openssl
from support.embedded_server import Serve
from support.programs import running_program
from support.waiting import DEADLINE, wait_until

from threadserve.types import Receive, Scope, Send

pytestmark = [needs_openssl, needs_browser]

# A WebSocket goes over a connection that is there, and whose server has said that it takes them: so after a fetch.
PAGE = """
<!doctype html>
<link rel="icon" href="data:,">
<script>
const received = [], events = [], items = [], binary = [];

function opened(socket) {
    return new Promise((resolve, reject) => { socket.onopen = resolve; socket.onerror = () => reject("socket"); });
}

async function until(condition) {
    while (!condition()) await new Promise(resolve => setTimeout(resolve, 5));
}

async function fetched(path, options) {
    return await (await fetch(path, options)).text();
}

async function run() {
    await fetched("/item?first");
    const socket = new WebSocket(`wss://${location.host}/socket`);
    socket.binaryType = "arraybuffer";
    socket.onmessage = event => {
        if (typeof event.data === "string") received.push(event.data);
        else binary.push(event.data.byteLength);
    };
    const source = new EventSource("/events");
    source.onmessage = event => events.push(event.data);
    await opened(socket);
    await until(() => events.length);
    if (location.search === "?stay") return {};

    const big = new Uint8Array(1000000);
    const work = [];
    for (let number = 0; number < 20; number++) {
        work.push(fetched(`/item?${number}`).then(text => items.push(text)));
        socket.send(`message ${number}`);
    }
    socket.send(big);
    const upload = fetched("/upload", {method: "POST", body: new Uint8Array(3000000)});
    const download = fetched("/download");
    await Promise.all(work);
    const sizes = [await upload, (await download).length];
    await until(() => received.length === 20 && binary.length === 1 && events.length >= 10);

    const left = new Promise(resolve => { socket.onclose = event => resolve([event.code, event.wasClean]); });
    source.close();
    socket.close(4001, "enough");
    return {
        received, binary, items, sizes, events: events.slice(0, 10), extensions: socket.extensions, left: await left,
        hops: performance.getEntriesByType("resource").map(entry => entry.nextHopProtocol).filter(Boolean),
    };
}

run().catch(error => ({error: `${error} ${error.stack}`}))
    .then(found => fetch("/report", {method: "POST", body: JSON.stringify(found)}));
</script>
"""
DOWNLOAD = b"0123456789" * 500_000


class Site:
    """The page's application. `asked` are the scopes of all requests, `ends` how the long ones ended."""

    def __init__(self) -> None:
        self.asked: list[Scope] = []
        self.ends: list[Any] = []
        self.reports: queue.Queue[dict[str, Any]] = queue.Queue()

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope)
        if scope["type"] == "websocket":
            await self.echo(receive, send)
            return
        match scope["path"]:
            case "/":
                await respond(send, PAGE.encode(), headers=[(b"content-type", b"text/html; charset=utf-8")])
            case "/events":
                await self.tell_events(receive, send)
            case "/upload":
                await respond(send, b"%d" % len(await read_body(receive)))
            case "/download":
                await respond(send, DOWNLOAD)
            case "/report":
                self.reports.put(json.loads(await read_body(receive)))
                await respond(send)
            case _:
                await respond(send, scope["query_string"])

    async def echo(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
        self.ends.append(message)

    async def tell_events(self, receive: Receive, send: Send) -> None:
        """Tells one every few milliseconds until the browser goes away."""
        await start(send, headers=[(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")])

        async def tell() -> None:
            number = 0
            while True:
                await body(send, b"data: %d\n\n" % number, more=True)
                number += 1
                await asyncio.sleep(0.01)

        telling = asyncio.create_task(tell())
        while (message := await receive())["type"] != "http.disconnect":
            pass
        telling.cancel()
        self.ends.append(message)


def fingerprint(identity: Identity) -> str:
    """By what Chromium is told to trust a key, which no authority on this machine vouches for."""
    command = ["openssl", "pkey", "-in", str(identity.key), "-pubout", "-outform", "DER"]
    key = subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE).stdout
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


@contextmanager
def chromium(url: str, identity: Identity, folder: Path) -> Iterator[Path]:
    """Opens a page; gives the browser's log. It ends with all its processes."""
    trusted = f"--ignore-certificate-errors-spki-list={fingerprint(identity)}"
    command = browser_command(folder / "profile", trusted, url)
    log = folder / "chromium.log"
    with running_program(command, log) as process:
        yield log
        # Killed, it would leave its other processes to notice that by themselves.
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE)


def report(site: Site, log: Path) -> dict[str, Any]:
    """What the page tells in the end."""
    try:
        found = site.reports.get(timeout=2 * DEADLINE)
    except queue.Empty:
        pytest.fail(f"the page told nothing; {[scope['path'] for scope in site.asked]}:\n{log.read_text()}")
    assert "error" not in found, found
    return found


def test_everything_on_one_connection(serve: Serve, tmp_path: Path) -> None:
    identity = Authority(tmp_path).sign("server")
    site = Site()
    server = serve(site.app, threads=2, **identity.settings)
    with chromium(f"https://127.0.0.1:{server.port}/", identity, tmp_path) as log:
        found = report(site, log)
        wait_until(lambda: len(site.ends) == 2, "the event stream and the WebSocket to end")

    assert found["received"] == [f"message {number}" for number in range(20)]
    assert found["binary"] == [1_000_000]
    assert sorted(map(int, found["items"])) == list(range(20))
    assert found["sizes"] == ["3000000", len(DOWNLOAD)]
    assert found["events"] == [str(number) for number in range(10)]
    assert found["extensions"].startswith("permessage-deflate")
    assert found["left"] == [4001, True]
    assert len(found["hops"]) > 20
    assert set(found["hops"]) == {"h2"}

    assert {scope["http_version"] for scope in site.asked} == {"2"}
    assert len({scope["client"] for scope in site.asked}) == 1
    kinds = [(scope["type"], scope["scheme"]) for scope in site.asked if scope["path"] in ("/socket", "/events")]
    assert sorted(kinds) == [("http", "https"), ("websocket", "wss")]
    disconnect, *_ = [end for end in site.ends if end["type"] == "websocket.disconnect"]
    assert (disconnect["code"], disconnect["reason"]) == (4001, "enough")


def test_the_browser_is_closed(serve: Serve, tmp_path: Path) -> None:
    identity = Authority(tmp_path).sign("server")
    site = Site()
    server = serve(site.app, threads=2, **identity.settings)
    with chromium(f"https://127.0.0.1:{server.port}/?stay", identity, tmp_path) as log:
        report(site, log)
        assert site.ends == []
    wait_until(lambda: len(site.ends) == 2, "the event stream and the WebSocket to end")
    assert sorted(end["type"] for end in site.ends) == ["http.disconnect", "websocket.disconnect"]
    assert {scope["http_version"] for scope in site.asked} == {"2"}
