"""Reading what wrk, h2load and Locust write, and running wrk and h2load where they are installed."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from loadtests.errors import LoadTestError
from loadtests.generators import locust, process, wrk
from loadtests.generators.locust import Finished
from loadtests.generators.result import RANKS, LoadResult, percentiles_of
from loadtests.harness.measurement import Effort, Subject
from loadtests.request import Request
from loadtests.servers.commands import threadserve
from loadtests.servers.interpreters import environment
from loadtests.servers.processes import serving

H2LOAD_LOG = """1795285111138400\t200\t1611
1795285111138378\t200\t1690
1795285111138371\t304\t1706
1795285111139000\t503\t20
1795285111139100\t-1\t30000
"""
LOCUST_SAMPLES = """1795285000.500000,500.000,/block,
1795285001.000000,2.000,/api/items/ID,
1795285002.000000,4.500,/api/items/ID,
1795285001.900000,501.000,/block,
1795285002.100000,3.500,/api/items/ID,
1795285002.200000,1.000,/api/items/ID,"503, ""busy"" now"
1795285003.100000,9.000,/api/items/ID,
"""


def samples() -> list[Finished]:
    return locust.parse(LOCUST_SAMPLES.splitlines())


def test_percentiles_have_all_ranks() -> None:
    percentiles = percentiles_of([float(number) for number in range(10_000, 0, -1)])
    assert tuple(percentiles) == RANKS
    assert percentiles["50"] == 5000
    assert percentiles["99.9"] == pytest.approx(9990, abs=1)
    assert percentiles["100"] == 10_000
    assert set(percentiles_of([7.5]).values()) == {7.5}
    assert percentiles_of([float(number) for number in range(200, 0, -1)])["99"] == 198


def test_the_log_of_h2load() -> None:
    result = wrk.parse_http2(H2LOAD_LOG.splitlines(), ["h2load"], 2.0)
    assert (result.requests, result.seconds, result.values["requests/s"]) == (3, 2.0, 1.5)
    assert (result.percentiles["50"], result.percentiles["100"]) == (1.69, 1.706)
    assert result.errors == {"status": 1, "failed": 1}
    assert result.began == pytest.approx(1795285111.138371)


def test_a_log_of_h2load_that_tells_nothing() -> None:
    for log in ([], ["1795285111139100\t-1\t30000"]):
        with pytest.raises(LoadTestError, match=f"h2load got no good answer: {len(log)} errors"):
            wrk.parse_http2(log, ["h2load"], 2.0)


def test_samples_of_locust_are_in_the_order_of_their_ends() -> None:
    rows = samples()
    assert [row.ended - 1795285000 for row in rows] == pytest.approx([0.5, 1.0, 1.9, 2.0, 2.1, 2.2, 3.1])
    assert rows[-2].error == '503, "busy" now'


def test_the_warm_up_and_what_ends_too_late_are_cut_off() -> None:
    """The first request began at 1795285000, so two seconds from 1795285001 on are measured."""
    result = locust.result_of(samples(), "", 1, 2, ["locust"])
    assert (result.requests, result.seconds, result.began) == (4, 2, 1795285001)
    assert result.errors == {'503, "busy" now': 1}
    assert (result.percentiles["50"], result.percentiles["100"]) == (3.5, 501)


def test_requests_that_are_no_matter_count_but_are_not_timed() -> None:
    result = locust.result_of(samples(), "/block", 1, 2, ["locust"])
    assert (result.requests, result.percentiles["100"]) == (4, 4.5)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("", "Locust got no good answer: and no error either"),
        ("1,1,/,\n3,1,/,refused\n3.1,1,/,refused", "Locust got no good answer: .*refused.*2"),
    ],
)
def test_samples_of_locust_that_tell_nothing(lines: str, complaint: str) -> None:
    with pytest.raises(LoadTestError, match=complaint):
        locust.result_of(locust.parse(lines.splitlines()), "", 1, 10, ["locust"])


def test_a_generator_that_fails_is_named() -> None:
    with pytest.raises(LoadTestError, match="no-such-generator is not installed"):
        process.run(["no-such-generator"], 1)
    with pytest.raises(LoadTestError, match=r"python\S* failed: out of luck"):
        process.run([sys.executable, "-c", "raise SystemExit('out of luck')"], 1)


def test_a_generator_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "PATIENCE_SECONDS", 0.5)
    with pytest.raises(LoadTestError, match="did not end within 0 seconds"):
        process.run([sys.executable, "-c", "import time; time.sleep(60)"], 0)


def by_h2load(subject: Subject) -> LoadResult:
    return wrk.run_http2(subject, streams=4, connections=2)


@pytest.mark.parametrize(("name", "drive"), [("wrk", wrk.run), ("h2load", by_h2load)])
def test_a_server_is_driven(name: str, drive: Callable[[Subject], LoadResult], tmp_path: Path) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    server, request = threadserve("ordinary", 1, "--http2"), Request("/")
    with serving(server, sys.executable, "loadtests.apps.hello:app", request, environment(), tmp_path) as running:
        result = drive(Subject(Effort(1, 1, 1, connections=2), request, server, running, tmp_path))
    assert result.requests > 0
    assert result.seconds >= 0.9
    assert result.errors == {}
    ordered = [result.percentiles[rank] for rank in RANKS]
    assert ordered == sorted(ordered)
    assert ordered[0] > 0
    assert result.began > 0
    assert str(running.port) in " ".join(result.command)


TROUBLED = """Running 1s test @ http://127.0.0.1:18777/
  2 threads and 4 connections
  92 requests in 1.00s, 10.75KB read
{"requests": 92, "time": 1003258, "percentiles": {"50": 43995, "75": 44313, "90": 45073, "95": 45808, "99": 47293, \
"99.9": 47293, "100": 47293}, "errors": {"connect": 0, "write": 0, "status": 9, "timeout": 0, "read": 3}}
"""
CLEAN = TROUBLED.replace('"status": 9', '"status": 0').replace('"read": 3', '"read": 0')


def test_a_clean_run_of_wrk() -> None:
    result = wrk.parse(CLEAN, ["wrk"], 5.5)
    assert (result.requests, result.command, result.began) == (92, ["wrk"], 5.5)
    assert result.seconds == pytest.approx(1.003258)
    assert tuple(result.percentiles) == RANKS
    assert (result.percentiles["50"], result.percentiles["99.9"]) == (43.995, 47.293)
    assert result.errors == {}


def test_only_errors_that_happened_are_counted_and_no_answer_with_a_bad_status() -> None:
    result = wrk.parse(TROUBLED, ["wrk"], 0.0)
    assert result.errors == {"read": 3, "status": 9}
    assert result.requests == 83


def test_output_of_wrk_that_tells_nothing() -> None:
    with pytest.raises(LoadTestError, match=r"wrk got no good answer: .*92"):
        wrk.parse(TROUBLED.replace('"status": 9', '"status": 92'), ["wrk"], 0.0)
