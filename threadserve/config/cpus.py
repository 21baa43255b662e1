"""How many CPUs this process may use: those that it may run on, and what the quotas of its cgroups leave of them.

Runs on whichever thread asks. It owns nothing and keeps nothing: an affinity or a quota may change at any time. See
cgroups(7), proc_pid_mountinfo(5), and in the kernel's documentation admin-guide/cgroup-v2 and scheduler/sched-bwc.
"""

import math
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc/self")
OCTAL = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """A hierarchy of cgroups that can be seen: from its group `root` on, in the folder `point`."""

    root: str
    point: Path
    is_unified: bool


def usable_cpus() -> int:
    """How many CPUs this process may use, where part of one counts as one."""
    return max(1, math.ceil(min(cpus_to_run_on(), cpu_quota())))


def cpus_to_run_on() -> int:
    """How many CPUs the system lets this process run on."""
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limit_of_cpus() -> str:
    """What keeps this process from all of the machine's CPUs, as the log calls it; empty where nothing does."""
    runs_on = cpus_to_run_on()
    if usable_cpus() < runs_on:
        return "quota of its cgroup"
    return "its affinity" if runs_on < (os.cpu_count() or 1) else ""


def cpu_quota(proc: Path = PROC) -> float:
    """How many CPUs' time this process's cgroup and those above it leave it, infinite where none of them has a quota.

    `proc` is the process's folder. What cannot be read is no quota.
    """
    quotas = [math.inf]
    with suppress(OSError, ValueError):
        mounts = list(cpu_mounts((proc / "mountinfo").read_text()))
        for line in (proc / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers or "cpu" in controllers.split(","):
                mounted = [mount for mount in mounts if mount.is_unified is not bool(controllers)]
                quotas.extend(quota_of(folder) for mount in mounted for folder in folders_of(path, mount))
    return min(quotas)


def cpu_mounts(mountinfo: str) -> Iterator[Mount]:
    """Where the hierarchies are mounted that may limit CPU time."""
    for line in mountinfo.splitlines():
        place, _, kind = line.partition(" - ")
        _, _, _, root, point, *_ = place.split(" ")
        filesystem, _, options = kind.split(" ", 2)
        if filesystem == "cgroup2" or (filesystem == "cgroup" and "cpu" in options.split(",")):
            yield Mount(unescaped(root), Path(unescaped(point)), filesystem == "cgroup2")


def unescaped(path: str) -> str:
    """A path of mountinfo, where white space is written in octal."""
    return OCTAL.sub(lambda match: chr(int(match[1], 8)), path)


def folders_of(path: str, mount: Mount) -> Iterator[Path]:
    """The folders of a cgroup and of those above it, as far as they can be seen.

    In a container without a cgroup namespace of its own the path is the host's, and the mount begins within it.
    """
    below = path.removeprefix(mount.root.rstrip("/")).strip("/")
    folder = mount.point / below
    # A group outside of what is mounted is written with "..".
    if ".." in folder.parts or not folder.is_dir():
        folder = mount.point
    yield folder
    while folder != mount.point:
        folder = folder.parent
        yield folder


def quota_of(folder: Path) -> float:
    """How many CPUs' time one cgroup may use, infinite where it has no quota."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = " ".join((folder / name).read_text() for name in names).split()
            return int(quota) / int(period) if quota.isdecimal() else math.inf
    return math.inf
