"""Workers are replaced by others without a request being refused or dropped: on SIGHUP, and when they reach a limit."""

import os
import re
import signal
import time
from itertools import accumulate

import pytest
from support.load import Load
from support.raw_client import Connect, request
from support.waiting import DEADLINE, wait_until
from support.workers import StartWorkers, Workers, begin_upload, chunk, one_client_each

SETTINGS = [("--threads", "1"), ("--threads", "2"), ("--threads", "2", "--distribute", "kernel")]
ALL_SETTINGS = pytest.mark.parametrize("settings", SETTINGS, ids=" ".join)


def load_on(server: Workers) -> Load:
    """Clients that are busy, on connections that are kept and on new ones, and leave time for processes to start."""
    load = Load(server, keep_alive=2, fresh=3, expected=b"hello", pause=0.005)
    load.start()
    load.wait_for_answers()
    return load


def stop_with(server: Workers, load: Load) -> None:
    """Stops the server; raises if a request was not answered."""
    assert not load.failures
    server.send_signal(signal.SIGTERM)
    assert load.join() > 0
    assert server.wait() == 0


def hang_up_with_code_that_does_not_start(server: Workers, code: str) -> None:
    """Waits until the new workers are given up and the old ones answer on."""
    serving = set(server.pids)
    given_up = server.stderr.count("The workers that serve are kept")
    server.write_code("broken code", code)
    server.send_signal(signal.SIGHUP)
    wait_until(
        lambda: server.stderr.count("The workers that serve are kept") > given_up, "the end of the try", 3 * DEADLINE
    )
    wait_until(lambda: server.answering() == serving, "answers from both old workers")


@ALL_SETTINGS
def test_hangup_replaces_all_workers_and_no_request_fails(
    start_workers: StartWorkers, settings: tuple[str, ...]
) -> None:
    server = start_workers(*settings)
    load = load_on(server)
    server.write_code("second code")
    server.send_signal(signal.SIGHUP)
    before, after = server.wait_for_starts(4)[:2], server.pids[2:]
    server.wait_for_end_of(*before)
    # The new worker listens before the old one drains.
    steps = re.findall("Started server|Shutting down", server.stderr)
    listening = list(accumulate(1 if step == "Started server" else -1 for step in steps))
    assert (len(steps), listening[-1], min(listening[1:])) == (6, 2, 2)
    assert server.answering() <= set(after)
    assert server.stdout.count("second code") == server.stdout.count("first code")
    stop_with(server, load)


def test_what_old_workers_have_in_flight_is_answered_and_outlives_the_signal_to_stop(
    start_workers: StartWorkers, connect: Connect
) -> None:
    server = start_workers()
    (first, client), (_, other) = one_client_each(server, connect, *server.pids).items()
    for each in (client, other):
        begin_upload(each)
    wait_until(lambda: server.stdout.count("reading") == 2, "both workers to read")
    server.send_signal(signal.SIGHUP)
    server.wait_for_starts(4)
    wait_until(lambda: server.stderr.count("Shutting down") == 2, "both old workers to drain", 2 * DEADLINE)
    client.send(chunk(b"and ended") + chunk(b""))
    assert client.read_response("POST").body == b"begun and ended"
    server.wait_for_end_of(first)
    server.send_signal(signal.SIGTERM)
    wait_until(lambda: server.stderr.count("Shutting down") == 4, "all workers to drain", 2 * DEADLINE)
    other.send(chunk(b"and ended") + chunk(b""))
    assert other.read_response("POST").body == b"begun and ended"
    assert server.wait() == 0


def test_code_that_does_not_start_leaves_the_old_workers(start_workers: StartWorkers) -> None:
    server = start_workers()
    before = server.pids
    load = load_on(server)
    for code, failed in [("raise ValueError('broken edit')", 1), ("def", 2), ("import os; os._exit(7)", 2)]:
        hang_up_with_code_that_does_not_start(server, code)
        assert server.stderr.count("cannot import the application") == failed
    assert server.stderr.count("could not start: ") == 3
    server.write_code("mended code")
    server.send_signal(signal.SIGHUP)
    server.wait_for_starts(4)
    server.wait_for_end_of(*before)
    assert server.stdout.count("mended code") == 2
    stop_with(server, load)


def test_a_worker_that_dies_is_tried_again_with_pauses_while_the_code_is_broken(start_workers: StartWorkers) -> None:
    server = start_workers()
    victim, other = server.pids
    server.write_code("broken code", "import os; os._exit(7)")
    begun = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: server.stderr.count("could not start: exit code 7") >= 2, "two tries", 2 * DEADLINE)
    assert server.answering() == {other}
    tries = server.stdout.count("broken code")
    # The first is made at once, and each pause is twice as long as the one before it.
    assert 2 ** (tries - 1) - 1 <= time.monotonic() - begun
    server.write_code("mended code")
    server.wait_for_starts(3)
    assert server.stop() == 0


def test_a_second_hangup_starts_again_while_the_first_waits_for_a_worker(
    start_workers: StartWorkers, connect: Connect
) -> None:
    server = start_workers()
    server.write_code("hanging code", "import time; time.sleep(60)")
    server.send_signal(signal.SIGHUP)
    server.wait_for_line("hanging code", "stdout")
    server.write_code("second code")
    server.send_signal(signal.SIGHUP)
    server.wait_for_starts(4)
    server.wait_for_end_of(*server.pids[:2])
    assert server.stdout.count("second code") == 2
    connect(server).send(request())
    server.send_signal(signal.SIGTERM)
    server.send_signal(signal.SIGTERM)
    # The second may come when all is done and nobody handles it any more.
    assert server.wait() in (0, 128 + signal.SIGTERM, -signal.SIGTERM)


@ALL_SETTINGS
def test_workers_that_have_served_enough_are_replaced_and_no_request_fails(
    start_workers: StartWorkers, settings: tuple[str, ...]
) -> None:
    server = start_workers(*settings, "--limit-max-requests", "200", "--limit-max-requests-jitter", "100")
    load = load_on(server)
    server.wait_for_starts(4)
    server.wait_for_end_of(*server.pids[:2])
    assert "Maximum request limit of " in server.stderr
    stop_with(server, load)


def test_workers_that_use_too_much_memory_are_replaced_one_after_the_other(start_workers: StartWorkers) -> None:
    server = start_workers("--limit-max-memory", "1000")
    server.wait_for_line("Memory limit of 1000 bytes exceeded")
    server.wait_for_starts(4)
    server.wait_for_end_of(*server.pids[:2])
    assert server.answering(4)
    assert server.stop() == 0
