"""The clients of a soak: as many that behave as that misbehave, each on a thread of its own."""

import signal
import threading
import time
from typing import Any

from loadtests.clients import chaos, steady
from loadtests.clients.seen import Record

# What a thread may take to end; whoever takes longer is left behind.
END_SECONDS = 40.0


def measure(port: int, users: int, seconds: float) -> dict[str, Any]:
    """Run so many users of both sorts for that long, or until SIGTERM; return what they have seen."""
    stopped, record = threading.Event(), Record()
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.set())
    threads = [
        threading.Thread(target=live, args=(port, number, record, stopped), daemon=True)
        for number in range(users)
        for live in (steady.live, chaos.live)
    ]
    for thread in threads:
        thread.start()
    stopped.wait(seconds)
    stopped.set()
    deadline = time.monotonic() + END_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return {"requests": record.requests, "misdeeds": record.misdeeds, "failures": record.failures}
