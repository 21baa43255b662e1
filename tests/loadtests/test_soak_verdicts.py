"""What a soak is judged by: what explains a failure, what is flat, and what is left over."""

import logging
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.errors import LoadTestError
from loadtests.soak import flatness, sampling, serverlog
from loadtests.soak.events import CONSEQUENCES_SECONDS, Event, Failure, reason_of
from loadtests.soak.load import Load
from loadtests.soak.sampling import SUPERVISOR, UNITS, WORKER, Sample, Usage
from loadtests.soak.serverlog import Entry
from loadtests.soak.verdict import Plan, Seen, table
from threadserve.logging import JsonFormatter

DEATH = Event(100.0, "thread", "11 threadserve-2")
KILL = Event(200.0, "worker", "12")
RENEWAL = Event(300.0, "renewal", replaced=(11, 12))
EVENTS = [DEATH, KILL, RENEWAL]
PLAN = Plan(10, workers=2, threads=2, users=1, hup_every=60, die_every=0, kill_every=0)


def entry(time: float, text: str, level: str = "ERROR", pid: int = 11, thread: str = "threadserve-2") -> Entry:
    return Entry(time, level, pid, thread, text)


def judged(logged: Entry) -> list[Failure]:
    """What is unexplained of a log."""
    seen = Seen(PLAN, events=EVENTS, log=[logged])
    seen.judge()
    return seen.unexplained


@pytest.mark.parametrize(
    "failure",
    [
        Failure(100.2, "steady", "cut off", "11 threadserve-2"),
        Failure(100.2, "steady", "cut off"),
        Failure(201.0, "steady", "cut off", "12 threadserve-1"),
    ],
)
def test_a_death_explains_what_it_cut_off(failure: Failure) -> None:
    assert reason_of(failure, EVENTS)


@pytest.mark.parametrize(
    "failure",
    [
        Failure(100.2, "steady", "cut off on another thread", "11 threadserve-1"),
        Failure(100.2, "steady", "cut off in another process", "12 threadserve-2"),
        Failure(99.0, "steady", "cut off before", "11 threadserve-2"),
        Failure(100.5 + CONSEQUENCES_SECONDS, "steady", "cut off long after", "11 threadserve-2"),
        Failure(100.2, "steady", "a wrong answer", "11 threadserve-2", is_cut_off=False),
        Failure(300.2, "steady", "cut off by SIGHUP", "11 threadserve-2"),
        Failure(300.2, "steady", "cut off by SIGHUP"),
    ],
)
def test_nothing_explains_other_failures(failure: Failure) -> None:
    assert not reason_of(failure, EVENTS)


@pytest.mark.parametrize(
    "logged",
    [
        entry(100.1, "Loop thread 2 died.\nTraceback ...\nSystemExit: made to die", "CRITICAL"),
        entry(100.1, "Cut off 2 requests at once: GET /die (0 s), GET /download (0 s)"),
        entry(200.1, "Child process [12] died: killed by SIGKILL", pid=10),
        entry(150.0, "Exception in ASGI application\nTraceback ...\nstarlette.requests.ClientDisconnect"),
        entry(100.1, "<sys>:0: RuntimeWarning: coroutine 'work' was never awaited", ""),
        entry(150.0, "Received SIGHUP.", "INFO"),
    ],
)
def test_what_the_log_may_say(logged: Entry) -> None:
    assert judged(logged) == []


def test_a_lone_thread_that_dies_is_the_main_one() -> None:
    event = Event(100.0, "thread", "11 MainThread")
    died = entry(100.1, "Loop thread 1 died.\nTraceback ...\nSystemExit: made to die", "CRITICAL")
    assert died.reason([event])
    assert not died.reason([replace(event, victim="11 threadserve-2")])


@pytest.mark.parametrize(
    "logged",
    [
        entry(100.1, "Loop thread 1 died.\nTraceback ...\nSystemExit: made to die", "CRITICAL"),
        entry(100.1, "Loop thread 2 died.\nTraceback ...\nAttributeError: x", "CRITICAL"),
        entry(100.1, "Exception in ASGI application\nTraceback ...\nasyncio.exceptions.CancelledError"),
        entry(110.0, "Cut off 1 request at once: GET / (0 s)"),
        entry(100.1, "Cut off 1 request at once: GET / (0 s)", thread="threadserve-1"),
        entry(100.1, "Cut off 1 request still running after 20 seconds: GET / (25 s)"),
        entry(200.1, "Child process [11] died: killed by SIGKILL", pid=10),
        entry(100.1, "Exception in ASGI application\nTraceback ...\nValueError: x"),
        entry(150.0, "<sys>:0: RuntimeWarning: coroutine 'work' was never awaited", ""),
        entry(100.1, "Fatal Python error: Segmentation fault", ""),
    ],
)
def test_what_the_log_may_not_say(logged: Entry) -> None:
    (found,) = judged(logged)
    assert found.what == logged.text


def test_the_log_is_read_as_it_is_written() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        record = logging.LogRecord("any", logging.ERROR, "file", 1, "it is %s", ("bad",), sys.exc_info())
    line = JsonFormatter().format(record)
    first, second, third = serverlog.read(f"{line}\nSegmentation fault\nin thread 1\n{line}\n")
    assert first == third
    assert first.text.startswith("it is bad\nTraceback")
    assert first.time == pytest.approx(record.created, abs=0.001)
    assert first.is_serious()
    assert (second.text, second.is_serious()) == ("Segmentation fault\nin thread 1", True)


def usage(pid: int, role: str, *used: float) -> Usage:
    return Usage(pid, role, dict(zip(UNITS, used, strict=True)))


SUPERVISING = usage(10, SUPERVISOR, 30.0, 20, 2)


def samples(seconds: int, mb: float = 0.0, descriptors: float = 0.0, threads: float = 0.0) -> list[Sample]:
    """A sample each second, of a supervisor that stays as it is and a worker that grows by so much a second."""
    return [
        Sample(
            1000.0 + second,
            (SUPERVISING, usage(11, WORKER, 50 + mb * second, 30 + descriptors * second, 8 + threads * second)),
        )
        for second in range(seconds)
    ]


def growing(taken: list[Sample]) -> set[tuple[str, str]]:
    return {(trend.role, trend.unit) for trend in flatness.trends(taken, 60.0) if not trend.is_flat}


def test_what_stays_is_flat() -> None:
    assert len(flatness.trends(samples(600), 60.0)) == 9
    assert growing(samples(600)) == set()


def test_what_grows_is_not_flat() -> None:
    assert {unit for _, unit in growing(samples(600, mb=0.1))} == {"MB"}
    assert {unit for _, unit in growing(samples(600, descriptors=0.1))} == {"descriptors"}
    assert {unit for _, unit in growing(samples(600, threads=0.02))} == {"threads"}


def test_a_supervisor_may_not_get_one_thread_more() -> None:
    taken = samples(600)
    more = [Sample(each.time, (usage(10, SUPERVISOR, 30.0, 20, 3), *each.of(WORKER))) for each in taken[400:]]
    assert growing(taken[:400] + more) == {("supervisor", "threads")}


def test_a_worker_that_grows_until_it_is_replaced_is_found_out() -> None:
    """Each replacement begins anew, so that all periods of the run are alike."""
    taken = [
        Sample(second, (SUPERVISING, usage(100 + second // 60, WORKER, 50 + 2 * (second % 60), 30, 8)))
        for second in range(600)
    ]
    assert growing(taken) == {("old worker", "MB")}


def test_a_run_with_one_period_behind_the_warm_up_is_not_compared() -> None:
    assert len(flatness.trends(samples(180), 60.0)) == 9
    assert flatness.trends(samples(170), 60.0) == []
    assert flatness.trends([], 60.0) == []


IDLE = Sample(0.0, (SUPERVISING, usage(11, WORKER, 40.0, 25, 6), usage(12, WORKER, 40.0, 25, 7)))


def test_what_is_left_over() -> None:
    assert sampling.left_over(IDLE, IDLE) == []
    after = Sample(1.0, (usage(10, SUPERVISOR, 30.0, 21, 2), usage(13, WORKER, 40.0, 25, 8)))
    assert sampling.left_over(IDLE, after) == [
        "there are 1 workers instead of 2",
        "supervisor 10 has 21 descriptors with nobody connected, before the load there were at most 20",
        "worker 13 has 8 threads with nobody connected, before the load there were at most 7",
    ]


def test_what_the_users_tell(tmp_path: Path) -> None:
    lines = [
        "1.0,5,steady: /,",
        '2.0,5,"chaos: page, reset",',
        "3.0,5,/block,",
        "4.0,5,steady: /,ConnectionResetError: [Errno 104] [11 threadserve-1]",
        "5.0,5,steady: /,ResponseError: status 500: b'Error' [11 threadserve-1]",
        "6.0,5,steady: /chat connect,ConnectionRefusedError: [Errno 111] []",
        "7.0,5,/download,the answer broke off: connection closed.",
        "8.0,5,chaos: not connected,ConnectionRefusedError: [Errno 111]",
    ]
    (tmp_path / "samples.csv").write_text("\n".join(lines))
    load = Load()
    load.take_in(tmp_path / "samples.csv")
    assert load.requests == {"steady: /": 1, "Locust: /block": 1}
    assert load.misdeeds == {"chaos: page, reset": 1}
    assert [failure.is_cut_off for failure in load.failures] == [True, False, False, True, False]
    assert [failure.served_by for failure in load.failures] == ["11 threadserve-1", "11 threadserve-1", "", "", ""]
    assert load.failures[1].what == "ResponseError: status 500: b'Error'"
    assert load.failures[3].who == "Locust: /download"


def seen(failures: list[Failure], problems: list[str], mb: float = 0.0) -> Seen:
    return Seen(PLAN, samples=samples(600, mb=mb), events=EVENTS, load=Load(failures=failures), problems=problems)


def test_a_clean_verdict() -> None:
    clean = seen([Failure(100.2, "steady: pages", "cut off")], [])
    assert clean.judge() == []
    lines = table(clean, []).splitlines()
    assert "explained: 1 × a thread was made to die: steady" in lines
    assert lines[-1].startswith("clean")


@pytest.mark.parametrize(
    ("bad", "finding"),
    [
        (seen([Failure(1.0, "steady", "500")] * 2, []), "2 × unexplained: steady: 500"),
        (seen([], ["the server ended with 1"]), "the server ended with 1"),
        (seen([], [], mb=0.1), "the MB of workers grow"),
    ],
)
def test_verdicts_with_findings(bad: Seen, finding: str) -> None:
    findings = bad.judge()
    assert finding in findings
    assert f"FINDING: {finding}" in table(bad, findings)
    assert "clean" not in table(bad, findings)


def test_a_verdict_without_a_comparison_is_not_clean() -> None:
    assert Seen(PLAN).judge() == ["too little was seen to tell whether anything grows"]
    assert Seen(PLAN, was_interrupted=True).judge() == []


def test_a_run_too_short_for_its_renewals_is_refused() -> None:
    with pytest.raises(LoadTestError, match="--hup-every 20 at most"):
        replace(PLAN, minutes=1, hup_every=30)
