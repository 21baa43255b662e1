"""A program that serves an app of its own from a thread, asks it something and stops it.

    python -m examples.embedded

The server installs no signal handlers outside the main thread; `should_exit` may be set from any thread and stops it
gracefully. A program with an event loop of its own awaits `server.serve()` there instead.
"""

import threading
import time
import urllib.request

from threadserve import Config, Server
from threadserve.types import ASGIApp, Receive, Scope, Send


def make_app(visitors: list[str]) -> ASGIApp:
    """An app that writes down in the program's list who came."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        visitors.append(scope["path"].strip("/"))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": f"You are visitor {len(visitors)}".encode()})

    return app


def ask(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:
        return str(response.read().decode())


def main() -> None:
    visitors: list[str] = []
    server = Server(Config(make_app(visitors), port=0, threads=1, log_level="warning"))
    serving = threading.Thread(target=server.run, name="serving")
    serving.start()
    while serving.is_alive() and not server.started:
        time.sleep(0.01)
    host, port = server.addresses[0]
    for name in ("ada", "grace"):
        print(ask(f"http://{host}:{port}/{name}"))
    server.should_exit = True
    serving.join()
    print("Served", " and ".join(visitors))


if __name__ == "__main__":
    main()
