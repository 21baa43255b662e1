"""The date, the machine and the commit of a measurement."""

import datetime
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from loadtests.servers.interpreters import ROOT

# The load average of one minute below which a machine counts as idle.
IDLE = 0.5


def facts() -> dict[str, Any]:
    """Return the facts with which every file of results begins, as JSON takes them."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": {
            "cpus": len(os.sched_getaffinity(0)),
            "cpu": cpu_model(),
            "memory_mb": psutil.virtual_memory().total // 1_000_000,
            "kernel": platform.release(),
            "load_average_before": os.getloadavg()[0],
        },
        "client_python": sys.version,
    }


def commit() -> str:
    """Return the name that git has for this tree, or "" outside a clone."""
    line = ["git", "describe", "--always", "--dirty"]
    try:
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def doubts(told: dict[str, Any]) -> list[str]:
    """Return what was wrong with the machine when `facts` were taken, one line each."""
    busy = told["machine"]["load_average_before"]
    return [f"the machine is not idle, its load average is {busy:.1f}"] if busy > IDLE else []
