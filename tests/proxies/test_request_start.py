"""What is read of `X-Request-Start`, in the notations that there are; no server runs here."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threadserve.proxies.request_start import MAX_WAIT_SECONDS, read_queue_time

NOW = 1_700_000_000.5


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"t=1700000000.123", 0.377),
        (b"1700000000.123", 0.377),
        (b"t=1700000000", 0.5),
        (b"t=1700000000.123456", 0.376544),
        (b"1700000000123", 0.377),
        (b"t=1700000000123", 0.377),
        (b"1700000000123.5", 0.3765),
        (b"t=1700000000123456", 0.376544),
        (b"1700000000123456", 0.376544),
        (b" t=1700000000.123 ", 0.377),
        (b"t=1699999990.5", 10.0),
    ],
)
def test_notations(value: bytes, seconds: float) -> None:
    assert read_queue_time(value, NOW) == pytest.approx(seconds, abs=1e-5)


@pytest.mark.parametrize("value", [b"t=1700000001", b"1700000001000", b"t=1700000099000000", b"t=1700000000.5"])
def test_a_clock_that_is_ahead(value: bytes) -> None:
    assert read_queue_time(value, NOW) == 0


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"t=",
        b"t",
        b"yesterday",
        b"-1700000000",
        b"+1700000000",
        b"1_700_000_000",
        b"1e9",
        b"0x10",
        b"nan",
        b"inf",
        b"t=1700000000.",
        b"t=.5",
        b"T=1700000000",
        b"t=t=1700000000",
        b"t=1700000000, t=1700000001",
        b"1700000000 1700000001",
        b"t=" + b"9" * 21,
        b"t=1700000000.1234567890",
        "t=\u0661\u0667".encode(),
        b"t=1700000000\x00",
    ],
)
def test_what_is_no_time(value: bytes) -> None:
    assert read_queue_time(value, NOW) is None


@pytest.mark.parametrize("value", [b"t=1699913600.5", b"1699913600500", b"t=1699913600500000"])
def test_the_longest_wait(value: bytes) -> None:
    assert read_queue_time(value, NOW) == MAX_WAIT_SECONDS


@pytest.mark.parametrize(
    "value", [b"t=1699913600.4", b"1699913600499", b"t=1699913600499999", b"0", b"t=1", b"17000000"]
)
def test_another_time_than_that_of_a_request_in_a_queue(value: bytes) -> None:
    assert read_queue_time(value, NOW) is None


@given(st.binary(max_size=40))
def test_nothing_is_raised_whatever_comes(value: bytes) -> None:
    seconds = read_queue_time(value, NOW)
    assert seconds is None or 0 <= seconds <= MAX_WAIT_SECONDS


@given(st.floats(0, MAX_WAIT_SECONDS - 0.001))
def test_the_notations_agree(seconds: float) -> None:
    began = NOW - seconds
    told = [f"t={began:.6f}", f"{began * 1e3:.0f}", f"t={began * 1e6:.0f}"]
    assert [read_queue_time(each.encode(), NOW) for each in told] == [pytest.approx(seconds, abs=0.001)] * 3
