"""Processes that are not this one's children, as the system sees them."""

import os
import signal
from pathlib import Path

import psutil
from support.waiting import wait_until


def has_ended(pid: int) -> bool:
    """Whether a process has ended. An orphan may stay listed after that, where nobody asks for its exit code."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def halt(pid: int) -> None:
    """Stops a process (SIGSTOP), and returns when none of its threads can take a connection any more."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: set(thread_states(pid)) <= {"T"}, "all threads to stop")


def thread_states(pid: int) -> list[str]:
    """The letter for the state of each thread: proc_pid_stat(5). None where the system does not have that."""
    stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return [stat.rpartition(")")[2].split()[0] for stat in stats]
