"""Several processes under a supervisor: dead and hung ones are replaced, signals add, remove and end them."""

import os
import re
import signal
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from support.load import Load
from support.raw_client import Connect, request
from support.waiting import DEADLINE, wait_until
from support.workers import StartWorkers, Workers, begin_upload, chunk, one_client_each

BOTH_SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["sigterm", "sigint"])


def end_group(server: Workers, number: int) -> None:
    """What a terminal does with a signal, and service managers such as systemd: all processes get it."""
    for pid in (server.pid, *server.pids):
        # The supervisor may have ended an idle worker by then.
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def test_all_workers_serve_and_lose_no_request_when_all_stop(start_workers: StartWorkers) -> None:
    server = start_workers("--threads", "2")
    wait_until(lambda: server.answering() == set(server.pids), "answers from both workers", 2 * DEADLINE)
    assert len(server.pids) == 2
    load = Load(server, keep_alive=2, fresh=2, expected=b"hello")
    load.start()
    load.wait_for_answers()
    server.send_signal(signal.SIGTERM)
    assert load.join() > 0
    assert server.wait() == 0
    assert server.stderr.count("threadserve running on") == 1
    assert server.stdout.count("up\n") == server.stdout.count("down\n") == 4
    lines = [rf"parent process \[{server.pid}\]", *(rf"Waiting for child process \[{pid}\]" for pid in server.pids)]
    assert all(re.search(line, server.stderr) for line in lines)


@pytest.mark.parametrize("distribute", ["least-busy", "kernel"])
def test_a_killed_worker_is_replaced_while_the_others_serve(start_workers: StartWorkers, distribute: str) -> None:
    server = start_workers("--threads", "2", "--distribute", distribute)
    victim, other = server.pids
    os.kill(victim, signal.SIGKILL)
    server.wait_for_line(rf"Child process \[{victim}\] died: killed by SIGKILL")
    answered = server.answering()
    replacement = server.wait_for_starts(3)[2]
    assert answered <= {other, replacement}
    wait_until(lambda: replacement in server.answering(), "the replacement to answer")
    assert server.stop() == 0


def test_a_worker_that_hangs_is_killed_and_replaced(start_workers: StartWorkers) -> None:
    server = start_workers("--timeout-worker-healthcheck", "3")
    victim = server.pids[0]
    os.kill(victim, signal.SIGSTOP)
    server.wait_for_line(rf"Child process \[{victim}\] is hung: no sign of life for 3 seconds")
    replacement = server.wait_for_starts(3)[2]
    wait_until(lambda: replacement in server.answering(), "the replacement to answer")
    assert server.stop() == 0


def test_workers_of_a_supervisor_that_was_stopped_are_not_taken_for_hung(start_workers: StartWorkers) -> None:
    server = start_workers("--timeout-worker-healthcheck", "3")
    before = server.pids
    server.send_signal(signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        wait_until(lambda: len(server.pids) > 2, "more than the time after which a worker is taken for hung", 4)
    server.send_signal(signal.SIGCONT)
    server.send_signal(signal.SIGTTIN)
    assert server.wait_for_starts(3)[:2] == before
    assert server.stop() == 0
    assert "hung" not in server.stderr


def test_a_slow_start_is_no_hang(start_workers: StartWorkers, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    server = start_workers("--timeout-worker-healthcheck", "3", wait=False, env={"STEERED_STARTUP": str(gate)})
    wait_until(lambda: server.stdout.count("starting\n") == 2, "both to start", 3 * DEADLINE)
    with pytest.raises(TimeoutError):
        wait_until(lambda: "process" in server.stderr.replace("parent process", ""), "more than a hang", 4)
    gate.touch()
    server.wait_for_starts(2)
    assert server.stop() == 0
    assert "hung" not in server.stderr


def test_ttin_adds_and_ttou_removes_a_worker(start_workers: StartWorkers) -> None:
    server = start_workers()
    server.send_signal(signal.SIGTTIN)
    added = server.wait_for_starts(3)
    wait_until(lambda: server.answering() == set(added), "answers from three", 2 * DEADLINE)
    server.send_signal(signal.SIGTTOU)
    server.wait_for_end_of(added[2])
    server.send_signal(signal.SIGTTOU)
    wait_until(lambda: server.stderr.count("Finished server process") == 2, "another to end", 3 * DEADLINE)
    (left,) = server.answering()
    server.send_signal(signal.SIGTTOU)
    server.wait_for_line("only one worker process")
    assert server.answering() == {left}
    assert server.stop() == 0


@BOTH_SIGNALS
def test_what_is_in_flight_is_answered_when_all_stop(
    start_workers: StartWorkers, connect: Connect, number: int
) -> None:
    server = start_workers()
    client = connect(server)
    begin_upload(client)
    server.wait_for_line("reading", "stdout")
    end_group(server, number)
    with pytest.raises(TimeoutError):
        wait_until(lambda: server.stderr.count("Finished server process") == 2, "the busy one to end", 1)
    client.send(chunk(b"and ended") + chunk(b""))
    response = client.read_response("POST")
    assert (response.status, response.body) == (200, b"begun and ended")
    assert server.wait() == 0
    assert "Traceback" not in server.stderr


@BOTH_SIGNALS
def test_a_second_signal_ends_all_at_once(start_workers: StartWorkers, connect: Connect, number: int) -> None:
    server = start_workers("--timeout-graceful-shutdown", "60")
    client = connect(server)
    client.send(request("GET", "/stuck"))
    server.wait_for_line("stuck", "stdout")
    server.send_signal(number)
    server.wait_for_line("Shutting down")
    assert server.stop(number) == 128 + number
    server.wait_for_line(r"Cut off 1 request at once: GET /stuck \(\d+ s\)$")
    server.wait_for_line('"GET /stuck HTTP/1.1" 499', "stdout")


def test_workers_stop_in_order_and_at_rest_when_their_supervisor_is_killed(
    start_workers: StartWorkers, connect: Connect
) -> None:
    server = start_workers()
    (busy, client), (idle, _) = one_client_each(server, connect, *server.pids).items()
    begin_upload(client)
    server.wait_for_line("reading", "stdout")
    server.process.kill()
    server.wait_for_end_of(idle)
    before = sum(psutil.Process(busy).cpu_times()[:2])
    with pytest.raises(TimeoutError):
        wait_until(lambda: server.stderr.count("Finished server process") == 2, "the busy one to end", 1)
    assert sum(psutil.Process(busy).cpu_times()[:2]) - before < 0.2
    client.send(chunk(b"and ended") + chunk(b""))
    assert client.read_response("POST").body == b"begun and ended"
    server.wait_for_end_of(busy)
