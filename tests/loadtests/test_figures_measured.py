"""Figures are measured round by round: real servers under a short load, and servers that fail."""

import shutil
import socket
import ssl
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from support.certificates import needs_openssl

from loadtests.apps import bodies, hello
from loadtests.clients import idle, kept, paused, resting, spread
from loadtests.clients.latency import Times
from loadtests.errors import LoadTestError
from loadtests.figures import rounds
from loadtests.figures.all import FIGURES, GROUPS, chosen
from loadtests.figures.figure import Figure, Goal, Peer, against
from loadtests.figures.measuring import Effort, open_at_once
from loadtests.figures.report import Outcome, Sample, markdown, rows
from loadtests.figures.request_path import BROWSER, TEN_KILOBYTES
from loadtests.generators import wrk
from loadtests.request import GET_ROOT, Request
from loadtests.servers import certificates, commands, fixed_bytes
from loadtests.servers.commands import Server, threadserve, uvicorn
from loadtests.servers.interpreters import Interpreter, environment
from loadtests.servers.processes import ask, serving

CPU = "CPU µs per request"
OURS = threadserve("ordinary", 1)
HERE = Interpreter(sys.executable, "3.13.0", False, True, {})


def figure(*peers: Peer, request: Request = GET_ROOT) -> Figure:
    return Figure("hello", "hello world", "rate", "loadtests.apps.hello:app", OURS, peers, request=request)


def bench(count: int = 1) -> rounds.Bench:
    """One whose free-threaded interpreter is this one, too."""
    return rounds.Bench(Effort(count, 1, 1, wrk.Load(1, 2), 10), {"ordinary": HERE, "free-threaded": HERE}, 1)


def measured(wanted: Figure, count: int = 1) -> tuple[Outcome, list[str]]:
    """What comes out, and the lines that are told meanwhile."""
    outcome, told = Outcome(wanted), list[str]()
    rounds.measure(bench(count), outcome, told.append)
    return outcome, told


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_cpu_time_is_compared_with_that_of_fixed_bytes() -> None:
    outcome, told = measured(figure(Peer((commands.fixed_bytes(),), (Goal(CPU, "at most", 1000), Goal("requests/s")))))
    assert (outcome.failure, outcome.left_out) == ("", [])
    cpu, rate = rows(outcome)
    assert cpu.reached
    assert cpu.ours.median > 0
    assert rate.theirs is not None
    assert rate.theirs.median > 0
    assert len(told) == 2
    assert CPU in told[0]


@needs_openssl
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_servers_are_compared_over_tls() -> None:
    outcome, _ = measured(figure(against(uvicorn(), requests=0.001), request=Request(tls=True)))
    assert (outcome.failure, outcome.left_out) == ("", [])
    assert [row.reached for row in rows(outcome)] == [True]
    for sample in outcome.samples:
        assert sample.details["load"]["command"][-1].startswith("https://127.0.0.1:")
        assert "--ssl-certfile" in sample.command
        assert sample.problems == []
    assert "--ssl-certfile CERTIFICATE --ssl-keyfile KEY loadtests.apps.hello:app`" in markdown([outcome])


@pytest.mark.parametrize(
    ("app", "request_", "answer"),
    [
        ("bodies:parts", GET_ROOT, bodies.PART * bodies.PARTS),
        ("bodies:send_back", Request(body=TEN_KILOBYTES), TEN_KILOBYTES.encode()),
        ("hello:app", BROWSER, hello.BODY),
    ],
)
def test_what_is_asked_is_answered(app: str, request_: Request, answer: bytes, tmp_path: Path) -> None:
    with serving(OURS, sys.executable, f"loadtests.apps.{app}", request_, environment(), tmp_path) as running:
        assert running.answer == answer


def test_a_browser_sends_fifteen_fields() -> None:
    heads: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                heads.append(connection.recv(65536))
                connection.sendall(fixed_bytes.RESPONSE)

        server = threading.Thread(target=serve)
        server.start()
        assert ask(listener.getsockname()[1], BROWSER) == hello.BODY
        server.join()
    _, *fields = heads[0].removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert len(fields) == 15
    line = wrk.command(wrk.Load(1, 1), 1, BROWSER, 80, Path("script"))
    assert line.count("--header") == 14


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_figures_of_kept_connections_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a word from each client."""
    monkeypatch.setattr(kept, "run", lambda port: Times([1.0, 2.0, 30.0], [500.0], ["one failed"]))
    monkeypatch.setattr(paused, "run", lambda port, pid: paused.PausedResult(500, 5.0, 0.01, 0.5))
    monkeypatch.setattr(spread, "run", lambda port: {"threadserve-1": 30, "threadserve-2": 50})
    monkeypatch.setattr(idle, "as_many_as_fit", lambda count: 1000)
    monkeypatch.setattr(resting, "run", lambda port, pid, count: resting.RestingResult(count, 10.0, 11.0, 1.0))
    wanted: dict[str, dict[str, float]] = {
        "kept-stall-2": {"p99 ms": 30, "p50 ms": 2},
        "kept-paused": {"requests/s": 100, CPU: 20},
        "kept-idle-memory": {"kB per connection": 1},
        "kept-spread": {"busiest over mean": 2.5},
    }
    for chosen_figure in chosen(tuple(wanted)):
        outcome, _ = measured(replace(chosen_figure, ours=OURS, peers=()))
        (sample,) = outcome.samples
        values = {value: sample.details[value] for value in wanted[chosen_figure.name]}
        assert values == pytest.approx(wanted[chosen_figure.name])
        assert sample.problems == (["one failed"] if chosen_figure.measure == "kept-latency" else [])
        assert set(sample.values) <= set(values)
    assert outcome.samples[0].details["requests_of_threads"] == {"threadserve-1": 30, "threadserve-2": 50}


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_figures_of_the_admin_address_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only servers that have one are asked there."""
    monkeypatch.setattr(paused, "CONNECTIONS", 20)
    for figure in chosen(("admin-busy", "admin-blocked", "admin-scrape")):
        outcome, _ = measured(figure)
        assert (outcome.failure, outcome.left_out) == ("", [])
        assert len(outcome.samples) == 1 + len(figure.peers)
        for sample in outcome.samples:
            assert sample.problems == []
            assert ("p99 ms" in sample.details) == ("--admin-bind" in sample.command)
            assert all(value > 0 for value in sample.values.values())


def test_many_connections_are_made_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "as_many_as_fit", lambda count: 1000)
    figures = chosen(("hello", "ws-idle", "kept-paused", "kept-idle-memory"))
    assert [open_at_once(figure, bench().effort) for figure in figures] == [0, 20, paused.CONNECTIONS, 1000]


def fails_in_round_two(server: Server, number: int) -> Sample:
    if number == 2:
        raise LoadTestError("it is tired")
    return Sample(server.label, number, [], {"requests/s": 100.0}, {}, [])


def test_a_peer_that_fails_is_left_out_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    tired, other = uvicorn(), uvicorn(2)
    monkeypatch.setattr(
        rounds,
        "one_sample",
        lambda bench, figure, server, number, answers: fails_in_round_two(server, number if server == tired else 1),
    )
    outcome, told = measured(figure(against(tired, other, requests=1)), 3)
    servers = [sample.server for sample in outcome.samples]
    assert servers == [OURS.label, tired.label, other.label, *[OURS.label, other.label] * 2]
    assert outcome.failure == ""
    assert outcome.left_out == [f"{tired.label} is left out from round 2 on: it is tired"]
    assert outcome.left_out[0] in told


def test_without_ours_there_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        rounds, "one_sample", lambda bench, figure, server, number, answers: fails_in_round_two(server, number)
    )
    outcome, told = measured(figure(against(uvicorn(), requests=1)), 3)
    assert len(outcome.samples) == 2
    assert (outcome.failure, told[-1]) == ("it is tired", "it is tired")


def test_figures_are_chosen_by_their_names_and_those_of_groups() -> None:
    assert chosen(()) == list(FIGURES)
    assert chosen(("request-path",)) == list(GROUPS["request-path"])
    names = [figure.name for figure in chosen(("wsgi-cpu", "websockets", "hello"))]
    assert names == ["hello", "wsgi-cpu", *(figure.name for figure in GROUPS["websockets"])]
    assert not {figure.name for figure in FIGURES} & set(GROUPS)


@needs_openssl
def test_a_certificate_is_for_this_machine(tmp_path: Path) -> None:
    made = certificates.make(tmp_path)
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(made.file, made.key)
    with pytest.raises(LoadTestError, match="openssl makes no certificate: "):
        certificates.make(tmp_path / "nowhere")


def test_without_openssl_it_is_said_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LoadTestError, match="openssl is not installed"):
        certificates.make(tmp_path)
