"""The number of CPUs that this process may use: by its affinity, and by the quotas of its cgroups.

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
    """A mounted hierarchy of cgroups: from its group `root` on, in the folder `point`."""

    root: str
    point: Path
    is_unified: bool


def count_usable_cpus() -> int:
    """Return the number of CPUs that this process may use, where part of one counts as one."""
    return max(1, math.ceil(min(count_schedulable_cpus(), read_cpu_quota())))


def count_schedulable_cpus() -> int:
    """Return the number of CPUs that the system runs this process on."""
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_cpu_limit() -> str:
    """Return the log's words for what keeps this process from all of the machine's CPUs, or "" if nothing does."""
    schedulable = count_schedulable_cpus()
    if count_usable_cpus() < schedulable:
        return "quota of its cgroup"
    return "its affinity" if schedulable < (os.cpu_count() or 1) else ""


def read_cpu_quota(proc: Path = PROC) -> float:
    """Return the CPUs' time that this process's cgroup and those above it may use, in CPUs; infinite without a quota.

    `proc` is the process's folder. A quota that cannot be read counts as none.
    """
    quotas = [math.inf]
    with suppress(OSError, ValueError):
        mounts = list(_parse_mounts((proc / "mountinfo").read_text()))
        for line in (proc / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers or "cpu" in controllers.split(","):
                mounted = [mount for mount in mounts if mount.is_unified is not bool(controllers)]
                quotas.extend(_read_quota(folder) for mount in mounted for folder in _cgroup_folders(path, mount))
    return min(quotas)


def _parse_mounts(mountinfo: str) -> Iterator[Mount]:
    """Yield the mounts of the hierarchies that may limit CPU time."""
    for line in mountinfo.splitlines():
        place, _, kind = line.partition(" - ")
        _, _, _, root, point, *_ = place.split(" ")
        filesystem, _, options = kind.split(" ", 2)
        if filesystem == "cgroup2" or (filesystem == "cgroup" and "cpu" in options.split(",")):
            yield Mount(_unescape(root), Path(_unescape(point)), filesystem == "cgroup2")


def _unescape(path: str) -> str:
    """Return a path of mountinfo, where white space is written in octal."""
    return OCTAL.sub(lambda match: chr(int(match[1], 8)), path)


def _cgroup_folders(path: str, mount: Mount) -> Iterator[Path]:
    """Yield the folders of a cgroup and of those above it, as far as they can be seen.

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


def _read_quota(folder: Path) -> float:
    """Return the CPUs' time that one cgroup may use, in CPUs; infinite where it has no quota."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = " ".join((folder / name).read_text() for name in names).split()
            return int(quota) / int(period) if quota.isdecimal() else math.inf
    return math.inf
