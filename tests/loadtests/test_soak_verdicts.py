"""What a soak is judged by: what explains a failure, what is flat, and what is left over."""

import logging
import sys
from collections import Counter

import pytest

from loadtests.soak import failures, sampling
from loadtests.soak.failures import CONSEQUENCES_SECONDS, RENEWAL, THREAD, WORKER, Event, Failure
from loadtests.soak.sampling import TOLERANCES, Sample
from loadtests.soak.verdict import Plan, Seen
from threadserve.logging import JsonFormatter

EVENTS = [Event(100.0, THREAD), Event(200.0, WORKER), Event(300.0, RENEWAL)]
PLAN = Plan(10, workers=2, threads=2, users=1, hup_every=60, die_every=0, kill_every=0)


def cut_off(time: float, error: str = "connection closed.") -> Failure:
    return Failure(time, "/download", error)


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (cut_off(100.2), THREAD),
        (cut_off(201.0, "[Errno 104] Connection reset by peer"), WORKER),
        (cut_off(201.0, "the answer broke off: Incomplete response"), WORKER),
        (cut_off(201.0, "Connection to remote host was lost."), WORKER),
        (cut_off(99.0), ""),
        (cut_off(100.5 + CONSEQUENCES_SECONDS), ""),
        (cut_off(100.2, "another answer than expected"), ""),
        (cut_off(100.2, "[Errno 111] Connection refused"), ""),
        (cut_off(300.2), ""),
    ],
)
def test_a_death_explains_what_it_cut_off(failure: Failure, reason: str) -> None:
    assert failure.reason(EVENTS) == reason


def logged(time: float, message: str, level: int = logging.ERROR) -> str:
    """A record as the server logs it."""
    record = logging.LogRecord("any", level, "file", 1, message, (), None)
    record.created = time
    return JsonFormatter().format(record)


@pytest.mark.parametrize(
    "line",
    [
        logged(100.1, "Loop thread 2 died.\nTraceback ...\nSystemExit: made to die", logging.CRITICAL),
        logged(100.1, "Cut off 2 requests at once: GET /die (0 s), GET /download (0 s)"),
        logged(200.1, "Child process [12] died: killed by SIGKILL"),
        logged(150.0, "Exception in ASGI application\nTraceback ...\nstarlette.requests.ClientDisconnect"),
        logged(150.0, "Received SIGHUP.", logging.INFO),
        logged(200.1, "any", logging.INFO) + "\n<sys>:0: RuntimeWarning: coroutine 'work' was never awaited\n  code",
    ],
)
def test_what_the_log_may_say(line: str) -> None:
    assert [failure for failure in failures.logged(line) if not failure.reason(EVENTS)] == []


@pytest.mark.parametrize(
    "line",
    [
        logged(100.1, "Loop thread 2 died.\nTraceback ...\nAttributeError: x", logging.CRITICAL),
        logged(110.0, "Cut off 1 request at once: GET / (0 s)"),
        logged(100.1, "Cut off 1 request still running after 20 seconds: GET / (25 s)"),
        logged(100.1, "Exception in ASGI application\nTraceback ...\nValueError: x"),
        logged(150.0, "any", logging.INFO) + "\n<sys>:0: RuntimeWarning: coroutine 'work' was never awaited",
        logged(100.1, "any", logging.INFO) + "\nFatal Python error: Segmentation fault\nin thread 1",
    ],
)
def test_what_the_log_may_not_say(line: str) -> None:
    (found,) = failures.logged(line)
    assert not found.reason(EVENTS)


def test_the_log_is_read_as_it_is_written() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        record = logging.LogRecord("any", logging.ERROR, "file", 1, "it is %s", ("bad",), sys.exc_info())
    line = JsonFormatter().format(record)
    first, second, third = failures.logged(f"{line}\nSegmentation fault\nin thread 1\n{line}\n")
    assert first == third
    assert first.what.startswith("it is bad\nTraceback")
    assert first.time == pytest.approx(record.created, abs=0.001)
    assert second.what == "Segmentation fault\nin thread 1"


def sample(time: float, supervisor: tuple[float, ...], *workers: tuple[float, ...]) -> Sample:
    """A sample of processes that use so much memory, descriptors and threads."""
    uses = [[use] for use in supervisor] + [list(each) for each in zip(*workers, strict=True)]
    return Sample(time, dict(zip(TOLERANCES, uses, strict=True)))


def samples(seconds: int, mb: float = 0.0, descriptors: float = 0.0, threads: float = 0.0) -> list[Sample]:
    """A sample each second, of a supervisor that stays as it is and a worker that grows by so much a second."""
    return [
        sample(1000.0 + now, (30, 20, 2), (50 + mb * now, 30 + descriptors * now, 8 + threads * now))
        for now in range(seconds)
    ]


def growing(taken: list[Sample]) -> set[str]:
    return {trend.name for trend in sampling.trends(taken, 60.0) if trend.last > trend.most}


def test_what_stays_is_flat() -> None:
    assert len(sampling.trends(samples(600), 60.0)) == len(TOLERANCES)
    assert growing(samples(600)) == set()


def test_what_grows_is_not_flat() -> None:
    assert growing(samples(600, mb=0.1)) == {"worker memory"}
    assert growing(samples(600, descriptors=0.1)) == {"worker descriptors"}
    assert growing(samples(600, threads=0.02)) == {"worker threads"}


def test_a_supervisor_may_not_get_one_thread_more() -> None:
    more = [Sample(each.time, {**each.uses, "supervisor threads": [3.0]}) for each in samples(600)[400:]]
    assert growing(samples(400) + more) == {"supervisor threads"}


def test_a_run_with_one_period_behind_the_warm_up_is_not_compared() -> None:
    assert sampling.trends(samples(180), 60.0) != []
    assert sampling.trends(samples(170), 60.0) == []
    assert sampling.trends([], 60.0) == []


def test_what_is_left_over() -> None:
    idle = sample(0.0, (30, 20, 2), (40, 25, 6), (40, 25, 7))
    assert sampling.left_over(idle, idle) == []
    assert sampling.left_over(idle, sample(1.0, (30, 21, 2), (60, 25, 8))) == [
        "there are 1 workers instead of 2",
        "supervisor descriptors: 21 with nobody connected, 20 before the load",
        "worker threads: 8 with nobody connected, 7 before the load",
    ]


def seen(failures: list[Failure], problems: list[str], mb: float = 0.0) -> Seen:
    answered = Counter({"/": 1})
    return Seen(PLAN, 1.0, samples(600, mb=mb), EVENTS, answered, failures, problems)


def test_a_clean_verdict() -> None:
    clean = seen([cut_off(100.2)], [])
    assert clean.judge() == []
    lines = clean.table([]).splitlines()
    assert "explained: 1 × a thread was made to die" in lines
    assert lines[-1].startswith("clean")


@pytest.mark.parametrize(
    ("bad", "finding"),
    [
        (seen([cut_off(1.0)] * 2, []), "2 × unexplained: /download: connection closed."),
        (seen([], ["the server ended with 1"]), "the server ended with 1"),
        (seen([], [], mb=0.1), "growing: worker memory"),
    ],
)
def test_verdicts_with_findings(bad: Seen, finding: str) -> None:
    findings = bad.judge()
    assert finding in findings
    assert f"FINDING: {finding}" in bad.table(findings)
    assert "clean" not in bad.table(findings)


def test_a_verdict_without_a_comparison_is_not_clean() -> None:
    assert Seen(PLAN).judge() == ["too little was seen to tell whether anything grows", "no client was answered"]
    assert Seen(PLAN, was_interrupted=True).judge() == []
