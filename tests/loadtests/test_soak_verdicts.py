"""What a soak is judged by: what explains a failure, what is flat, and what is left over."""

import json
import logging
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.errors import LoadTestError
from loadtests.soak import flatness, idling, serverlog
from loadtests.soak.events import CONSEQUENCES, Event, Failure
from loadtests.soak.explaining import Judged, judge, reason_of
from loadtests.soak.load import Load, take_in_told
from loadtests.soak.plan import Plan
from loadtests.soak.sampling import Sample, Usage
from loadtests.soak.verdict import Verdict, table, write_json

DEATH = Event(100.0, "thread", 11, "threadserve-2")
KILL = Event(200.0, "worker", 12)
RENEWAL = Event(300.0, "renewal", 10, replaced=(11, 12))
EVENTS = [DEATH, KILL, RENEWAL]


def unexplained(*failures: Failure, entries: tuple[serverlog.Entry, ...] = ()) -> list[Failure]:
    return judge(failures, entries, EVENTS).unexplained


def entry(
    time: float, text: str, level: str = "ERROR", pid: int = 11, thread: str = "threadserve-2"
) -> serverlog.Entry:
    return serverlog.Entry(time, level, pid, thread, text)


@pytest.mark.parametrize(
    "failure",
    [
        Failure(100.2, "steady", "cut off", "11 threadserve-2"),
        Failure(100.2, "steady", "cut off"),
        Failure(201.0, "steady", "cut off", "12 threadserve-1"),
    ],
)
def test_a_death_explains_what_it_cut_off(failure: Failure) -> None:
    judged = judge([failure], [], EVENTS)
    assert not judged.unexplained
    assert sum(judged.explained.values()) == 1


@pytest.mark.parametrize(
    "failure",
    [
        Failure(100.2, "steady", "cut off on another thread", "11 threadserve-1"),
        Failure(100.2, "steady", "cut off in another process", "12 threadserve-2"),
        Failure(99.0, "steady", "cut off before", "11 threadserve-2"),
        Failure(100.5 + CONSEQUENCES, "steady", "cut off long after", "11 threadserve-2"),
        Failure(100.2, "steady", "a wrong answer", "11 threadserve-2", is_cut_off=False),
        Failure(300.2, "steady", "cut off by SIGHUP", "11 threadserve-2"),
        Failure(300.2, "steady", "cut off by SIGHUP"),
    ],
)
def test_nothing_explains_other_failures(failure: Failure) -> None:
    assert unexplained(failure) == [failure]


@pytest.mark.parametrize(
    "logged",
    [
        entry(100.1, "Loop thread 2 died.\nTraceback ...\nSystemExit: made to die", "CRITICAL"),
        entry(100.1, "Cut off 2 requests at once: GET /die (0 s), GET /download (0 s)"),
        entry(200.1, "Child process [12] died: killed by SIGKILL", pid=10),
        entry(150.0, "Exception in ASGI application\nTraceback ...\nstarlette.requests.ClientDisconnect"),
        entry(150.0, "Received SIGHUP.", "INFO"),
    ],
)
def test_what_the_log_may_say(logged: serverlog.Entry) -> None:
    assert not unexplained(entries=(logged,))


def test_a_lone_thread_that_dies_is_the_main_one() -> None:
    event = Event(100.0, "thread", 11, "MainThread")
    died = entry(100.1, "Loop thread 1 died.\nTraceback ...\nSystemExit: made to die", "CRITICAL")
    assert reason_of(died, [event])
    assert not reason_of(died, [replace(event, thread="threadserve-2")])


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
        entry(100.1, "Fatal Python error: Segmentation fault", ""),
    ],
)
def test_what_the_log_may_not_say(logged: serverlog.Entry) -> None:
    (found,) = unexplained(entries=(logged,))
    assert found.what == logged.text


def test_the_log_is_read_as_it_is_written() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        record = logging.LogRecord("any", logging.ERROR, "file", 1, "it is %s", ("bad",), sys.exc_info())
    line = serverlog.JsonLines().format(record)
    first, second, third = serverlog.read(f"{line}\nSegmentation fault\nin thread 1\n{line}\n")
    assert first == third
    assert first.text.startswith("it is bad\nTraceback")
    assert first.is_serious
    assert (second.text, second.is_serious) == ("Segmentation fault\nin thread 1", True)


def samples(seconds: int, mb: float = 0.0, descriptors: float = 0.0, threads: float = 0.0) -> list[Sample]:
    """A sample each second, of a supervisor that stays as it is and a worker that grows by so much a second."""
    return [
        Sample(
            float(second),
            (
                Usage(10, False, 30.0, 20, 2),
                Usage(11, True, 50 + mb * second, 30 + int(descriptors * second), 8 + int(threads * second)),
            ),
        )
        for second in range(seconds)
    ]


CUTS = [float(cut) for cut in range(60, 600, 60)]


def growing(taken: list[Sample]) -> set[tuple[str, str]]:
    return {(trend.role, trend.unit) for trend in flatness.trends(taken, CUTS) if not trend.is_flat}


def test_what_stays_is_flat() -> None:
    assert len(flatness.trends(samples(600), CUTS)) == 9
    assert growing(samples(600)) == set()


def test_what_grows_is_not_flat() -> None:
    assert {unit for _, unit in growing(samples(600, mb=0.1))} == {"MB"}
    assert {unit for _, unit in growing(samples(600, descriptors=0.1))} == {"descriptors"}
    assert {unit for _, unit in growing(samples(600, threads=0.02))} == {"threads"}


def test_a_supervisor_may_not_get_one_thread_more() -> None:
    taken = samples(600)
    more = [Sample(each.time, (Usage(10, False, 30.0, 20, 3), *each.workers)) for each in taken[400:]]
    assert growing(taken[:400] + more) == {("supervisor", "threads")}


def test_a_worker_that_grows_until_it_is_replaced_is_found_out() -> None:
    """Each replacement begins anew, so that all pieces of the run are alike."""
    taken = [
        Sample(
            float(second),
            (Usage(10, False, 30.0, 20, 2), Usage(100 + second // 60, True, 50 + 2 * (second % 60), 30, 8)),
        )
        for second in range(600)
    ]
    assert growing(taken) == {("old worker", "MB")}


def test_a_run_with_one_piece_is_not_compared() -> None:
    assert flatness.trends(samples(100), [60.0]) == []
    assert flatness.trends(samples(100), []) == []


IDLE = Sample(0.0, (Usage(10, False, 30.0, 20, 2), Usage(11, True, 40.0, 25, 6), Usage(12, True, 40.0, 25, 7)))


def test_what_is_left_over() -> None:
    assert idling.left_over(IDLE, IDLE, workers=2) == []
    after = Sample(1.0, (Usage(10, False, 30.0, 21, 2), Usage(13, True, 40.0, 25, 8)))
    assert idling.left_over(IDLE, after, workers=2) == [
        "there are 1 workers instead of 2",
        "supervisor 10 has 21 descriptors with nobody connected, before the load there were at most 20",
        "worker 13 has 8 threads with nobody connected, before the load there were at most 7",
    ]


def test_workers_that_outlive_a_renewal() -> None:
    assert idling.not_replaced(EVENTS, IDLE) == ["worker 11 has outlived a SIGHUP", "worker 12 has outlived a SIGHUP"]
    assert idling.not_replaced([DEATH, KILL], IDLE) == []


def test_what_clients_tell() -> None:
    load = Load()
    failures = [
        {"time": 1.0, "kind": "pages", "error": "ConnectionResetError: [Errno 104]", "served_by": "11 threadserve-1"},
        {
            "time": 2.0,
            "kind": "pages",
            "error": "Wrong: 500: b'Internal Server Error'",
            "served_by": "11 threadserve-1",
        },
    ]
    take_in_told(load, "steady", {"answered": {"pages": 7}, "failures": failures})
    take_in_told(load, "chaos", {"misdeeds": {"page, reset": 3}, "refused": [{"time": 3.0, "error": "refused"}]})
    assert load.requests == {"steady: pages": 7}
    assert load.misdeeds == {"page, reset": 3}
    assert [failure.is_cut_off for failure in load.failures] == [True, False, False]
    assert load.failures[0].served_by == "11 threadserve-1"


def verdict(judged: Judged | None = None, problems: list[str] | None = None, mb: float = 0.0) -> Verdict:
    trends = flatness.trends(samples(600, mb=mb), CUTS)
    return Verdict(EVENTS, [IDLE], Load(), judged or Judged(), trends, problems or [])


def test_a_clean_verdict(tmp_path: Path) -> None:
    clean = verdict()
    assert clean.findings == []
    assert table(clean).splitlines()[-1].startswith("clean")
    write_json(tmp_path / "new" / "soak.json", {"date": "today"}, clean)
    written = json.loads((tmp_path / "new" / "soak.json").read_text())
    assert (written["date"], written["findings"], len(written["events"])) == ("today", [], 3)


@pytest.mark.parametrize(
    ("bad", "finding"),
    [
        (verdict(Judged(unexplained=[Failure(1.0, "steady", "500")] * 2)), "2 × unexplained: steady: 500"),
        (verdict(problems=["the server ended with 1"]), "the server ended with 1"),
        (verdict(mb=0.1), "the MB of workers grow"),
    ],
)
def test_verdicts_with_findings(bad: Verdict, finding: str) -> None:
    assert finding in bad.findings
    assert f"FINDING: {finding}" in table(bad)
    assert "clean" not in table(bad)


def test_a_verdict_without_a_comparison_is_not_clean() -> None:
    nothing = Verdict(EVENTS, [IDLE], Load(), Judged(), [], [])
    assert nothing.findings == ["too little was seen to tell whether anything grows"]
    assert replace(nothing, was_interrupted=True).findings == []


def test_a_run_too_short_for_its_renewals_is_refused() -> None:
    with pytest.raises(LoadTestError, match="--hup-every 20 at most"):
        Plan(seconds=60, workers=1, threads=1, users=1, renew_every=30, kill_thread_every=0, kill_worker_every=0)
