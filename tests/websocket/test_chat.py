"""The chat example: people on different threads talk, from Python and in a browser."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.browser import Page, browser, needs_browser, open_page
from support.server_process import PACKAGE_ROOT, ServerProcess
from support.waiting import DEADLINE, wait_until
from support.websocket_client import close, text, websocket_clients
from websockets.sync.client import ClientConnection, connect

THREADS = 4
OPTIONS = ("--app-instance", "shared", "--threads", str(THREADS))


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    """The example, served as its docstring says."""
    pytest.importorskip("fastapi")
    with ServerProcess("examples.chat:app", *OPTIONS, cwd=PACKAGE_ROOT) as server:
        yield server


def person(server: ServerProcess, name: str) -> ClientConnection:
    """Somebody who enters the room."""
    return connect(f"ws://{server.host}:{server.port}/ws/{name}", open_timeout=DEADLINE)


def heard_by_itself(newcomer: ClientConnection) -> str:
    """Waits until somebody is in the room, who is let in before that; returns the thread."""
    newcomer.send("here")
    match = re.fullmatch(".+ on (.+): here", str(newcomer.recv(DEADLINE)))
    assert match
    return match[1]


def test_people_on_all_threads_hear_each_other(server: ServerProcess) -> None:
    with ExitStack() as stack:
        people: list[ClientConnection] = []
        threads: set[str] = set()
        # A thread that is slow to take up its connections leaves them to others.
        while len(people) < 3 * THREADS or len(threads) == 1:
            assert len(people) < 30 * THREADS
            time.sleep(0.1 if len(people) >= 3 * THREADS else 0)
            newcomer = stack.enter_context(person(server, f"p{len(people)}"))
            threads.add(heard_by_itself(newcomer))
            for listener in people:
                assert str(listener.recv(DEADLINE)).endswith(": here")
            people.append(newcomer)
        for number, speaker in enumerate(people):
            speaker.send("hello")
            heard = {listener.recv(DEADLINE) for listener in people}
            assert len(heard) == 1
            assert re.fullmatch(rf"p{number} on .+: hello", str(heard.pop()))
        people[0].close()
        assert people[1].recv(DEADLINE) == "p0 has left"
    assert server.stop() == 0
    assert "ERROR" not in server.stderr


def test_people_who_say_something_and_leave_at_once_have_left(server: ServerProcess) -> None:
    """Then it is sending to them that fails first, while they are still in the room."""
    with person(server, "stays") as listener, websocket_clients() as enter:
        heard_by_itself(listener)
        for number in range(5):
            leaver = enter(server)
            leaver.open(f"/ws/p{number}", behind=text("bye") + close(1001))
            words = [str(listener.recv(DEADLINE)) for _ in range(2)]
            assert words[0].endswith(": bye")
            assert words[1] == f"p{number} has left"
        assert server.stop() == 0
    assert "ERROR" not in server.stderr


def say(page: Page, words: str) -> None:
    """Types words and sends them."""
    page.run(f"document.querySelector('input').value = {json.dumps(words)}")
    page.run("document.querySelector('button').click()")


def enter_by_page(page: Page, name: str) -> None:
    """Has somebody enter the room, and be heard there by themselves."""
    wait_until(lambda: f"You are {name}." in page.text(), f"{name} to be let in")
    say(page, "here")
    wait_until(lambda: re.search(f"{name} on .+: here", page.text()), f"{name} to be in the room")


@needs_browser
def test_two_pages_of_a_browser_share_the_room(server: ServerProcess, tmp_path: Path) -> None:
    with (
        browser(tmp_path) as tools,
        open_page(tools, f"{server.url}/?name=Ada") as ada,
        open_page(tools, f"{server.url}/?name=Bob") as bob,
    ):
        for name, page in (("Ada", ada), ("Bob", bob)):
            enter_by_page(page, name)
        say(ada, "Hello Bob")
        wait_until(lambda: re.search("Ada on .+: Hello Bob", bob.text()), "Bob to hear Ada")
        say(bob, "Hello <b>Ada</b>")
        wait_until(lambda: re.search("Bob on .+: Hello <b>Ada</b>", ada.text()), "Ada to hear Bob")
        server.send_signal()
        wait_until(
            lambda: "closed (1012)" in ada.text() and "closed (1012)" in bob.text(), "both to be told of the end"
        )
    assert server.wait() == 0
