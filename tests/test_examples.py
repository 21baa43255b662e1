"""Every example, run as its docstring says and asked over real sockets."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from support.server_process import PACKAGE_ROOT, ServerProcess
from support.waiting import DEADLINE, wait_until

EXAMPLES = {path.stem: path for path in (PACKAGE_ROOT / "examples").glob("*.py")}
TESTED = {
    "chat",
    "django_site",
    "embedded",
    "factory",
    "fastapi_model",
    "flask_cpu_bound",
    "flask_site",
    "hello",
    "starlette_lifespan",
    "stopping_streams",
    "streaming",
}
THREADS = 3


def example(app: str, *options: str, **env: str) -> ServerProcess:
    """The server of an example, started in the folder from which its docstring says to start it."""
    return ServerProcess(f"examples.{app}", *options, env=env, cwd=PACKAGE_ROOT)


@pytest.fixture
def open_client() -> Iterator[Callable[[], httpx.Client]]:
    """Makes clients that keep their connections open until the test ends."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(httpx.Client(timeout=DEADLINE, verify=False))


def ask_every_thread(
    open_client: Callable[[], httpx.Client], url: str, key: Callable[[httpx.Response], object]
) -> list[tuple[httpx.Client, httpx.Response]]:
    """Opens connections until `key` of the answers has had as many values as there are threads.

    A new connection goes to the thread with the fewest, unless that one is slow to take it up.
    """
    asked: list[tuple[httpx.Client, httpx.Response]] = []
    while len({key(response) for _, response in asked}) < THREADS:
        assert len(asked) < 20 * THREADS, f"not every thread has answered: {[response.text for _, response in asked]}"
        client = open_client()
        asked.append((client, client.get(url).raise_for_status()))
    return asked


def test_every_example_is_tested() -> None:
    assert set(EXAMPLES) == TESTED


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_example_is_short_and_says_how_to_run_it(name: str) -> None:
    text = EXAMPLES[name].read_text()
    assert len(text.splitlines()) < 60
    docstring = text.split('"""')[1]
    assert re.search(rf"^    .*(threadserve|python -m) .*examples\.{name}\b", docstring, re.MULTILINE)


def test_hello_answers_on_every_thread(open_client: Callable[[], httpx.Client]) -> None:
    with example("hello:app", "--threads", str(THREADS), "--timeout-keep-alive", "60") as server:
        asked = ask_every_thread(open_client, server.url, lambda response: response.text)
        for client, response in asked:
            assert re.fullmatch(r"Hello from .+!\n", response.text)
            assert client.get(server.url).text == response.text


def test_fastapi_model_takes_what_fits_its_models_and_refuses_the_rest() -> None:
    lamps = {"product": "lamp", "price": 20.5, "quantity": 2}
    with example("fastapi_model:app") as server, httpx.Client(base_url=server.url, timeout=DEADLINE) as client:
        taken = client.post("/orders", json={"customer": "Ada", "lines": [lamps]})
        assert taken.json() == {"customer": "Ada", "pieces": 2, "total": 41.0}
        assert "/orders" in client.get("/openapi.json").json()["paths"]
        for line, culprit in [
            ({**lamps, "quantity": 0}, "quantity"),
            ({"product": "lamp", "price": "much"}, "price"),
            ({"price": 20.5}, "product"),
        ]:
            refused = client.post("/orders", json={"customer": "Ada", "lines": [line]})
            assert refused.status_code == 422
            assert [error["loc"] for error in refused.json()["detail"]] == [["body", "lines", 0, culprit]]


def test_starlette_lifespan_gives_every_thread_its_own_state(open_client: Callable[[], httpx.Client]) -> None:
    with example("starlette_lifespan:app", "--threads", str(THREADS)) as server:
        asked = ask_every_thread(open_client, server.url, lambda response: response.json()["thread"])
        answers = [response.json() for _, response in asked] + [client.get(server.url).json() for client, _ in asked]
        assert server.stop() == 0
        log = server.stderr
    entries: dict[str, list[int]] = {}
    for answer in answers:
        assert answer["owner"] == answer["thread"]
        entries.setdefault(answer["thread"], []).append(answer["entry"])
    for thread, numbers in entries.items():
        assert numbers == list(range(1, len(numbers) + 1))
        assert f"{thread} closes its journal after {len(numbers)} entries\n" in log


def test_streaming_sends_a_download_of_the_promised_size() -> None:
    with example("streaming:app") as server:
        response = httpx.get(f"{server.url}/download", params={"megabytes": 3}, timeout=DEADLINE)
    assert response.headers["content-length"] == str(3 * 2**20)
    assert response.content == bytes(range(256)) * (3 * 2**20 // 256)


def events(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """The events of a stream, each as soon as the empty line that ends it has arrived."""
    event: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            event[name] = value
        else:
            yield event
            event = {}


def test_streaming_sends_an_event_before_the_next_one_is_due() -> None:
    with (
        example("streaming:app", "--timeout-graceful-shutdown", "0.1") as server,
        httpx.stream("GET", f"{server.url}/events", params={"interval": 3600}, timeout=DEADLINE) as response,
    ):
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert next(events(response.iter_lines())) == {"id": "1", "event": "tick", "data": "tick number 1"}
        assert server.stop() == 0


def test_streaming_goes_on_after_the_last_event_that_a_client_saw() -> None:
    with example("streaming:app") as server:
        seen = {"last-event-id": "41"}
        with httpx.stream("GET", f"{server.url}/events?interval=0.01", headers=seen, timeout=DEADLINE) as response:
            stream = events(response.iter_lines())
            assert [next(stream)["id"] for _ in range(3)] == ["42", "43", "44"]
        assert server.stop() == 0


def test_stopping_streams_ends_its_streams_when_the_server_stops() -> None:
    with (
        example("stopping_streams:app", "--timeout-graceful-shutdown", "3600", "--threads", str(THREADS)) as server,
        httpx.stream("GET", f"{server.url}/events", params={"interval": 3600}, timeout=DEADLINE) as response,
    ):
        stream = events(response.iter_lines())
        assert next(stream) == {"id": "1", "event": "tick", "data": "tick number 1"}
        server.send_signal()
        # To its end: what is cut off has none, and raises here.
        assert [event["event"] for event in stream] == ["stopping"]
        assert server.wait() == 0


def test_factory_builds_an_app_for_every_thread(open_client: Callable[[], httpx.Client]) -> None:
    with example("factory:create_app", "--factory", "--threads", str(THREADS), GREETING="Welcome") as server:
        asked = ask_every_thread(open_client, server.url, lambda response: response.json()["made_on"])
        told = [response.json() for _, response in asked]
    assert {answer["greeting"] for answer in told} == {"Welcome"}
    assert {answer["made_on"] for answer in told} == {f"threadserve-{number}" for number in range(1, THREADS + 1)}


def test_flask_site_keeps_sessions_and_takes_files() -> None:
    with example("flask_site:app") as server, httpx.Client(base_url=server.url, timeout=DEADLINE) as client:
        assert [client.get("/").text for _ in range(2)] == ["Visit 1\n", "Visit 2\n"]
        answer = client.post("/upload", files={"file": ("large", b"x" * 2_000_000)})
        assert answer.json() == {"name": "large", "bytes": 2_000_000}
        assert client.get("/countdown/3").text == "3\n2\n1\n"


def test_flask_cpu_bound_runs_views_on_several_threads() -> None:
    with ThreadPoolExecutor(1) as asker, example("flask_cpu_bound:app", "--wsgi-threads", "4") as server:
        # It still runs when the server is killed.
        endless = asker.submit(httpx.get, f"{server.url}/primes/1000000000", timeout=None)
        with httpx.Client(base_url=server.url, timeout=DEADLINE) as client:
            wait_until(lambda: client.get("/primes/10").json()["together"] == 2, "two views to run together")
            assert client.get("/primes/30000").json()["primes"] == 3245
        assert not endless.done()
    assert isinstance(endless.exception(), httpx.TransportError)


def test_django_site_keeps_its_guests(tmp_path: Path) -> None:
    env = {**os.environ, "DATABASE": str(tmp_path / "guests.sqlite3")}
    command = [sys.executable, "-m", "examples.django_site", "migrate"]
    subprocess.run(command, cwd=PACKAGE_ROOT, env=env, check=True, timeout=60)
    with example("django_site:application", **env) as server:
        for name in ("Ada", "Grace"):
            assert name in httpx.post(server.url, data={"name": name}, timeout=DEADLINE).json()["guests"]
        assert httpx.get(server.url, timeout=DEADLINE).json() == {"guests": ["Ada", "Grace"]}


def test_embedded_serves_and_stops() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "examples.embedded"], cwd=PACKAGE_ROOT, capture_output=True, text=True, timeout=60
    )
    assert finished.stderr == ""
    assert finished.stdout == "You are visitor 1\nYou are visitor 2\nServed ada and grace\n"
    assert finished.returncode == 0
