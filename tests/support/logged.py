"""What the server has logged of requests, as pytest has captured it."""

import pytest
from support.waiting import wait_until


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged as a warning, without what stands before its first colon: the client's address."""
    lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    return [line.partition(": ")[2] for line in lines]


def statuses_logged(caplog: pytest.LogCaptureFixture, path: str) -> list[str]:
    """Waits for the access log to tell of a path, and returns the statuses there; its level must be set."""

    def told() -> list[str]:
        lines = [record.getMessage() for record in caplog.records if record.name == "threadserve.access"]
        return [line.rpartition('" ')[2] for line in lines if f" {path} " in line]

    wait_until(told, f"the access log to tell of {path}")
    return [status.split(" ")[0] for status in told()]
