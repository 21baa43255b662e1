"""Reading what wrk prints, and what is handed to it."""

import pytest

from loadtests.errors import LoadTestError
from loadtests.figures.all import FIGURES
from loadtests.generators import wrk

CLEAN = """Running 5s test @ http://127.0.0.1:8000/
  2 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.21ms  410.00us  12.40ms   88.01%
    Req/Sec    26.50k     1.02k   29.11k    70.00%
  Latency Distribution
     50%  615.00us
     75%    1.30ms
     90%    1.71ms
     99%    1.05s
  263871 requests in 5.01s, 38.00MB read
Requests/sec:  52668.86
Transfer/sec:      7.58MB
"""

TROUBLED = CLEAN.replace(
    "Requests/sec:",
    "  Socket errors: connect 0, read 3, write 0, timeout 12\n  Non-2xx or 3xx responses: 7\nRequests/sec:",
)


def test_a_clean_run() -> None:
    result = wrk.parse(CLEAN)
    assert result.requests == 263871
    assert result.requests_per_second == 52668.86
    assert result.p50_ms == pytest.approx(0.615)
    assert result.p99_ms == pytest.approx(1050)
    assert result.errors == {}


def test_only_errors_that_happened_are_counted() -> None:
    assert wrk.parse(TROUBLED).errors == {"read": 3, "timeout": 12, "status": 7}


@pytest.mark.parametrize("missing", ["requests in", "Requests/sec", "50%", "99%"])
def test_output_with_a_line_missing_is_an_error(missing: str) -> None:
    with pytest.raises(LoadTestError, match="wrk printed no"):
        wrk.parse("\n".join(line for line in CLEAN.splitlines() if missing not in line))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("615.00us", 0.615), ("1.30ms", 1.3), ("2.00s", 2000), ("1.50m", 90_000), ("0.50h", 1_800_000)],
)
def test_durations(text: str, expected: float) -> None:
    assert wrk.milliseconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "12", "3.0d", "ms"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(LoadTestError):
        wrk.milliseconds(text)


def test_bodies_can_be_written_in_lua() -> None:
    """Within printable ASCII a JSON string literal is a Lua string literal."""
    for figure in FIGURES:
        assert figure.request.body.isascii()
        assert not figure.request.body or figure.request.body.isprintable()
