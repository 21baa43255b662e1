"""Processes of the load tests that nobody has hold of any more."""

import subprocess
import sys
from contextlib import suppress

from support.processes import has_ended
from support.waiting import wait_until

from loadtests.process_groups import process_group

# Starts another process, and says which.
PARENT = """
import subprocess
print(subprocess.Popen(["sleep", "300"]).pid, flush=True)
input()
"""


def test_an_interruption_ends_whatever_was_started() -> None:
    pipe = subprocess.PIPE
    with suppress(KeyboardInterrupt), process_group() as group:
        parent = subprocess.Popen([sys.executable, "-c", PARENT], stdin=pipe, stdout=pipe, process_group=group)
        assert parent.stdout is not None
        grandchild = int(parent.stdout.readline())
        raise KeyboardInterrupt
    parent.communicate()
    wait_until(lambda: has_ended(grandchild), "the end of what was started")
