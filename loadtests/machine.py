"""The date, the machine and the commit of a measurement."""

import datetime
import os
import platform
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from loadtests.servers.interpreters import ROOT


def facts() -> dict[str, Any]:
    """Return the facts with which every file of results begins, as JSON takes them."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        # Nothing outside a clone.
        "commit": subprocess.getoutput(f"git -C {shlex.quote(str(ROOT))} describe --always --dirty 2>/dev/null"),
        "machine": {
            "cpus": len(os.sched_getaffinity(0)),
            "cpu": model[1] if model else platform.machine(),
            "memory_mb": psutil.virtual_memory().total // 1_000_000,
            "kernel": platform.release(),
            "load_average_before": os.getloadavg()[0],
        },
        "client_python": sys.version,
    }
