"""Rounds: their order, servers that fail in one of them or answer wrongly, and real servers under a short load."""

import shutil
import socket
import ssl
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from support.certificates import needs_openssl
from support.comparison import FACTS, sample
from support.waiting import wait_until

from loadtests import results as record
from loadtests.apps import asgi, hello
from loadtests.comparing.scenarios import SCENARIOS, own
from loadtests.errors import LoadTestError
from loadtests.figures.command import chosen
from loadtests.figures.table import BROWSER, TEN_KILOBYTES
from loadtests.harness import loads
from loadtests.harness.measurement import Effort, Entry, Measured, Measurement
from loadtests.harness.session import Session, problems_of
from loadtests.request import GET_ROOT, Request
from loadtests.results import CPU, RATE, Results, Sample
from loadtests.servers import commands, fixed_bytes, usage
from loadtests.servers.commands import threadserve, uvicorn
from loadtests.servers.interpreters import Interpreter
from loadtests.servers.processes import Running, ask, make_certificate
from loadtests.servers.usage import Monitor, Reading, read

PYTHON = Interpreter(sys.executable, "3.13.0", False, True, {})
HELLO, HELLO_WSGI = SCENARIOS[:2]
needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
# Has a child that works for a while and then waits for a line; says when the child is done, and when it has ended.
CHILD = "import time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\ninput()"
PARENT = (
    f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}]); print('ended', flush=True); input()"
)


def entries(*names: str) -> list[Entry]:
    return [
        Entry(scenario, name, threadserve("ordinary", 1), PYTHON, 1)
        for scenario in (HELLO, HELLO_WSGI)
        for name in names
    ]


class Rehearsal(Session):
    """A run in which nothing is started. `failing` are the names, scenarios and rounds in which a server fails."""

    failing: tuple[tuple[str, str, int], ...] = ()

    def sample(self, entry: Entry, number: int) -> Sample:
        if (entry.measurement.name, entry.name, number) in self.failing:
            raise LoadTestError("it is tired")
        return sample(entry.measurement.name, entry.name, entry.threads, number)


def rehearsal(folder: Path, rounds: int) -> Rehearsal:
    return Rehearsal(entries("A", "B"), Effort(rounds, 1, 1), Results(FACTS, {}), folder / "results.json", {})


def measured(session: Session) -> list[tuple[str, str, int]]:
    return [(one.measurement, one.server, one.round) for one in session.results.samples]


def test_servers_take_turns_in_each_scenario(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = rehearsal(tmp_path, 2)
    assert session.run() == 0
    assert measured(session) == [
        *(("hello", "A", 1), ("hello", "B", 1), ("hello", "A", 2), ("hello", "B", 2)),
        *(("hello-wsgi", "A", 1), ("hello-wsgi", "B", 1), ("hello-wsgi", "A", 2), ("hello-wsgi", "B", 2)),
    ]
    assert record.read(session.path) == session.results
    first = "hello: A, --threads 1, round 1 of 2: 100.0 requests/s; 2 p50 ms; 9 p99 ms"
    assert first in capsys.readouterr().err.splitlines()


def test_a_server_that_fails_is_left_out_and_the_others_go_on(tmp_path: Path) -> None:
    session = rehearsal(tmp_path, 3)
    session.failing = (("hello", "A", 2),)
    assert session.run() == 0
    assert measured(session)[:4] == [("hello", "A", 1), ("hello", "B", 1), ("hello", "B", 2), ("hello", "B", 3)]
    assert ("hello-wsgi", "A", 3) in measured(session)
    assert session.results.left_out == ["hello: A, --threads 1 is left out from round 2 on: it is tired"]


def test_where_nothing_could_be_measured_it_is_said_where_the_reasons_are(tmp_path: Path) -> None:
    session = rehearsal(tmp_path, 1)
    session.failing = tuple((scenario, name, 1) for scenario in ("hello", "hello-wsgi") for name in ("A", "B"))
    with pytest.raises(LoadTestError, match=r"nothing could be measured; \S+results\.json says why"):
        session.run()
    assert len(record.read(session.path).left_out) == 4


def test_another_answer_than_that_of_the_others_is_a_failure(tmp_path: Path) -> None:
    session = rehearsal(tmp_path, 1)
    first, second = session.entries[:2]
    assert session.doubts(first, b"Hello") == []
    with pytest.raises(LoadTestError, match="B gives another answer than the others: b'Goodbye'"):
        session.doubts(second, b"Goodbye")
    assert session.doubts(second, b"Hello") == []


def test_other_answers_of_ones_own_app_are_only_told(tmp_path: Path) -> None:
    session = rehearsal(tmp_path, 1)
    first, second = (replace(entry, measurement=own("mine:app", "/", "asgi")) for entry in session.entries[:2])
    assert session.doubts(first, b"12:00") == []
    assert session.doubts(second, b"12:01") == ["B gives another answer than the others: b'12:01'"]


def answered(answer: bytes, request: Request = GET_ROOT) -> tuple[bytes | None, bytes]:
    """Return what `ask` makes of one answer, and the bytes that it sent."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(65536))
                connection.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        try:
            return ask(listener.getsockname()[1], request), asked[0]
        finally:
            server.join()


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"Hello\r\n\r\n", "the server answered no HTTP: BadStatusLine Hello"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "the server answered no HTTP: IncompleteRead"),
        (b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", "the server answered 404: b'no'"),
    ],
)
def test_a_wrong_first_answer_is_named(answer: bytes, complaint: str) -> None:
    with pytest.raises(LoadTestError, match=complaint):
        answered(answer)


def test_the_fields_of_a_browser_are_sent() -> None:
    answer, head = answered(fixed_bytes.RESPONSE, BROWSER)
    assert answer == hello.BODY
    assert head.removesuffix(b"\r\n\r\n").count(b"\r\n") == 15


def run(folder: Path, measurement: Measurement, *servers: commands.Server) -> Session:
    """A round of each server, on this interpreter."""
    chosen = [Entry(measurement, server.label, server, PYTHON) for server in servers]
    session = Session(chosen, Effort(1, 1, 1, 2), Results(FACTS, {}), folder / "results.json")
    session.run()
    assert session.results.left_out == []
    return session


@needs_wrk
def test_rates_and_cpu_times_are_measured_and_no_line_of_the_access_log_is_lost(tmp_path: Path) -> None:
    (logged,) = chosen(("access-log",))
    for one in (
        *run(tmp_path, logged, logged.servers[0]).results.samples,
        *run(tmp_path, HELLO, commands.peer("fixed bytes", build="free-threaded")).results.samples,
    ):
        assert min(one.values[RATE], one.values[CPU], one.values["p99 ms"], one.values["USS MB"]) > 0
        assert one.values["OS threads"] >= one.values["processes"] >= 1
        assert (one.errors, one.problems) == ({}, [])
        assert one.load[0] == "wrk"


@needs_wrk
@needs_openssl
def test_servers_are_compared_over_tls(tmp_path: Path) -> None:
    over_tls = Measurement(name="tls", app="loadtests.apps.hello:app", load=loads.rate, request=Request(tls=True))
    for one in run(tmp_path, over_tls, threadserve("ordinary", 1), uvicorn()).results.samples:
        assert one.load[-1].startswith("https://127.0.0.1:")
        assert "--ssl-certfile" in one.command


@pytest.mark.parametrize(
    ("app", "request_", "answer"),
    [
        ("asgi:parts", GET_ROOT, asgi.PART * asgi.PARTS),
        ("asgi:send_back", TEN_KILOBYTES, TEN_KILOBYTES.body.encode()),
    ],
)
def test_what_is_asked_is_answered(app: str, request_: Request, answer: bytes, tmp_path: Path) -> None:
    measurement = Measurement(
        name="one", app=f"loadtests.apps.{app}", load=lambda subject: Measured({}), request=request_
    )
    assert run(tmp_path, measurement, threadserve("ordinary", 1)).answers == {"one": answer}


@needs_openssl
def test_a_certificate_is_for_this_machine(tmp_path: Path) -> None:
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(*make_certificate(tmp_path))
    with pytest.raises(LoadTestError, match="openssl makes no certificate for TLS: "):
        make_certificate(tmp_path / "nowhere")


def test_what_a_stopped_server_leaves_makes_its_sample_doubtful(tmp_path: Path) -> None:
    log, access_log = tmp_path / "stderr", tmp_path / "stdout"
    log.write_text("RuntimeWarning: The global interpreter lock (GIL) has been enabled to load module 'fast'")
    access_log.write_text("one\ntwo\n")
    measured = Measured({}, details={"requests": 3})
    assert problems_of(Running(1, 80, [], log, access_log, stopped_by="SIGKILL"), measured, with_log=True) == [
        "something that the server imports turned the GIL on",
        "the server did not stop and was killed",
        "1 of 3 requests are not in the access log",
    ]
    log.write_text("")
    assert problems_of(Running(1, 80, [], log, access_log, stopped_by="SIGTERM"), measured, with_log=False) == []


def test_the_cpu_time_of_a_child_that_has_ended_is_counted() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "done\n"
            both = read(usage.tree(process.pid))
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "ended\n"
            alone = read(usage.tree(process.pid))
        finally:
            process.kill()
    assert (both["processes"], alone["processes"]) == (2, 1)
    assert min(alone["CPU seconds"], both["CPU seconds"]) >= 0.25


def test_a_monitor_outlives_its_process() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with process, Monitor(process.pid) as monitor:
        wait_until(lambda: monitor.readings, "a first reading")
        process.communicate(b"\n")
    assert all(reading["OS threads"] >= 1 for reading in monitor.readings)


def reading(at: float, cpu: float, threads: int = 1, processes: int = 1, rss: float = 12) -> Reading:
    return {"at": at, "CPU seconds": cpu, "OS threads": threads, "processes": processes, "RSS MB": rss}


def monitor_of(*readings: Reading) -> Monitor:
    monitor = Monitor(1)
    monitor.readings = list(readings)
    return monitor


def test_usage_is_of_the_time_that_was_measured() -> None:
    """CPU time is taken in proportion where a reading is before the measured time, and one is after it."""
    monitor = monitor_of(
        reading(99.0, 1.0, threads=9, processes=9),
        reading(100.5, 2.5, threads=4, processes=2),
        reading(101.5, 4.5, threads=3, processes=3, rss=24),
        reading(103.0, 6.0, threads=9, processes=9, rss=36),
    )
    monitor.memory = {"PSS MB": 20.0}
    assert monitor.usage(100.0, 102.0) == pytest.approx(
        {"CPU seconds": 3.0, "OS threads": 4, "processes": 3, "PSS MB": 20.0}
    )
    assert monitor.growth(100.0, 103.0) == pytest.approx(24.0)


def test_beyond_the_readings_nothing_is_made_up() -> None:
    monitor = monitor_of(reading(100.5, 2.5), reading(101.5, 4.5))
    assert monitor.usage(100.0, 102.0)["CPU seconds"] == 2.0
    assert monitor.between(200.0, 201.0) == [reading(101.5, 4.5)]
    with pytest.raises(LoadTestError, match="the server's processes could not be read"):
        monitor_of().usage(100.0, 102.0)


def test_the_admin_address_is_asked_only_of_servers_that_have_one(tmp_path: Path) -> None:
    first, second = Measured({RATE: 1.0}), Measured({RATE: 2.0}, errors={"late": 1})
    load = loads.beside(lambda subject: replace(first), lambda subject: second)
    (busy,) = chosen(("admin-busy",))
    with_admin, without = run(tmp_path, replace(busy, load=load), *busy.servers).results.samples
    assert (with_admin.errors, without.errors) == ({"late": 1}, {})
    assert with_admin.details["beside"]["values"] == {RATE: 2.0}
    assert with_admin.values == without.values == {RATE: 1.0}


def test_results_that_cannot_be_written_are_told_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    session = Session(entries("A"), Effort(1, 1, 1), Results(FACTS, {}), tmp_path / "file" / "results.json")
    with pytest.raises(LoadTestError, match=r"results\.json cannot be written: (Not a directory|File exists)"):
        session.run()
    session.entries = []
    with pytest.raises(LoadTestError, match="nothing can be measured: "):
        session.run()
