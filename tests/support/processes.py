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


def wait_for_sleep(pid: int) -> None:
    """Returns when the main threads of a process and of its children sleep.

    Python handles a signal that comes when a thread is about to wait for a lock, or to read, only after that. A
    free-threaded build first spins for the lock, which takes long on a busy machine.
    """
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    wait_until(lambda: all(each.status() == psutil.STATUS_SLEEPING for each in family), "the main threads to sleep")


def thread_states(pid: int) -> list[str]:
    """The letter for the state of each thread: proc_pid_stat(5). None where the system does not have that."""
    stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return [stat.rpartition(")")[2].split()[0] for stat in stats]
