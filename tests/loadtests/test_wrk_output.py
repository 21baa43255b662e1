"""Reading what wrk prints, and what is handed to it."""

import json

import pytest

from loadtests.errors import LoadTestError
from loadtests.figures.all import FIGURES
from loadtests.generators import wrk
from loadtests.generators.result import RANKS

TROUBLED = """Running 1s test @ http://127.0.0.1:18777/
  2 threads and 4 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    42.34ms    8.35ms  47.29ms   95.65%
    Req/Sec    45.90      8.29    60.00     80.00%
  92 requests in 1.00s, 10.75KB read
  Non-2xx or 3xx responses: 9
Requests/sec:     91.70
Transfer/sec:     10.72KB
{"requests": 92, "time": 1003258, "percentiles": {"50": 43995, "75": 44313, "90": 45073, "95": 45808, "99": 47293, \
"99.9": 47293, "100": 47293}, "errors": {"connect": 0, "write": 0, "status": 9, "timeout": 0, "read": 3}}
"""
CLEAN = TROUBLED.replace('"status": 9', '"status": 0').replace('"read": 3', '"read": 0')
LINE = ["wrk", "http://127.0.0.1:18777/"]


def test_a_clean_run() -> None:
    result = wrk.parse(CLEAN, LINE, 5.5)
    assert (result.requests, result.command, result.began) == (92, LINE, 5.5)
    assert result.seconds == pytest.approx(1.003258)
    assert result.requests_per_second == pytest.approx(92 / 1.003258)
    assert tuple(result.percentiles) == RANKS
    assert (result.percentiles["50"], result.percentiles["99.9"]) == (43.995, 47.293)
    assert result.errors == {}


def test_only_errors_that_happened_are_counted_and_no_answer_with_a_bad_status() -> None:
    result = wrk.parse(TROUBLED, LINE)
    assert result.errors == {"read": 3, "status": 9}
    assert result.requests == 83


@pytest.mark.parametrize("output", ["", CLEAN.partition("{")[0], "{half"])
def test_output_without_a_report_is_an_error(output: str) -> None:
    with pytest.raises(LoadTestError, match="wrk printed no report"):
        wrk.parse(output, LINE)


def test_a_run_without_a_good_answer_is_an_error() -> None:
    with pytest.raises(LoadTestError, match="wrk got no good answer: 3 read errors, 92 status errors"):
        wrk.parse(TROUBLED.replace('"status": 9', '"status": 92'), LINE)


def test_bodies_can_be_written_in_lua() -> None:
    """Within printable ASCII a JSON string literal is a Lua string literal."""
    for figure in FIGURES:
        assert figure.request.body.isascii()
        assert not figure.request.body or figure.request.body.isprintable()
        assert (f"wrk.body = {json.dumps(figure.request.body)}" in wrk.script_for(figure.request)) == bool(
            figure.request.body
        )
