"""How many CPUs there are to use: affinity, and the quotas of cgroups as different systems show them."""

import math
from pathlib import Path

import pytest

from threadserve.runtime import cpus
from threadserve.runtime.cpus import count_usable_cpus, describe_cpu_limit, read_cpu_quota

UNIFIED = "30 23 0:26 {root} {point} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
LEGACY = "33 24 0:28 {root} {point} rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct"
OTHERS = """\
23 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
32 24 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
"""


class System:
    """Files as the kernel shows them to one process, in a folder of the test's."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.unified = folder / "sys" / "fs cgroup"
        self.legacy = folder / "sys" / "cpu,cpuacct"
        for each in (self.proc, self.unified, self.legacy):
            each.mkdir(parents=True)

    def show(self, cgroups: str, *mounts: str, root: str = "/") -> None:
        """The process is in these cgroups, of which the mounts show those below `root`."""
        (self.proc / "cgroup").write_text(cgroups)
        points = {UNIFIED: self.unified, LEGACY: self.legacy}
        lines = [each.format(root=root, point=str(points[each]).replace(" ", "\\040")) for each in mounts]
        (self.proc / "mountinfo").write_text(OTHERS + "".join(f"{line}\n" for line in lines))

    def limit(self, path: str, limit: str) -> None:
        """Gives a cgroup of the unified hierarchy this `cpu.max`."""
        write(self.unified / path / "cpu.max", limit)

    def limit_legacy(self, path: str, quota: int, period: int = 100000) -> None:
        """Gives a cgroup of the older hierarchy this quota."""
        write(self.legacy / path / "cpu.cfs_quota_us", str(quota))
        write(self.legacy / path / "cpu.cfs_period_us", str(period))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def test_a_process_without_cgroups_has_no_quota(tmp_path: Path) -> None:
    assert read_cpu_quota(tmp_path) == math.inf


@pytest.mark.parametrize(("limit", "quota"), [("150000 100000", 1.5), ("max 100000", math.inf), ("", math.inf)])
def test_the_quota_of_a_cgroup(system: System, limit: str, quota: float) -> None:
    system.show("0::/\n", UNIFIED)
    system.limit("", limit)
    assert read_cpu_quota(system.proc) == quota


@pytest.mark.parametrize(
    ("own", "parents", "quota"), [("400000 100000", "max 100000", 4), ("400000 100000", "250000 100000", 2.5)]
)
def test_the_least_of_a_cgroup_and_of_those_above_it_counts(
    system: System, own: str, parents: str, quota: float
) -> None:
    system.show("0::/kubepods/pod 7/box\n", UNIFIED)
    system.limit("kubepods/pod 7/box", own)
    system.limit("kubepods", parents)
    system.limit("kubepods/another", "1000 100000")
    assert read_cpu_quota(system.proc) == quota


def test_a_container_sees_the_hosts_path_and_its_own_files(system: System) -> None:
    system.show("0::/docker/box/inner\n", UNIFIED, root="/docker/box")
    system.limit("", "300000 100000")
    system.limit("inner", "200000 100000")
    assert read_cpu_quota(system.proc) == 2


@pytest.mark.parametrize("path", ["/../other", "/docker/box"])
def test_a_cgroup_that_cannot_be_seen_has_the_quota_of_what_is_mounted(system: System, path: str) -> None:
    system.show(f"0::{path}\n", UNIFIED)
    system.limit("", "300000 100000")
    system.limit("../other", "100000 100000")
    assert read_cpu_quota(system.proc) == 3


def test_the_older_hierarchy(system: System) -> None:
    system.show("5:memory:/small\n4:cpu,cpuacct:/docker/box\n1:name=systemd:/\n0::/\n", LEGACY, UNIFIED)
    system.limit_legacy("", -1)
    system.limit_legacy("docker/box", 125000, 50000)
    assert read_cpu_quota(system.proc) == 2.5


def test_what_makes_no_sense_is_no_quota(system: System) -> None:
    system.show("0::/box\n", UNIFIED)
    system.limit("box", "0 0 0")
    system.limit("", "100000 0")
    assert read_cpu_quota(system.proc) == math.inf
    (system.proc / "cgroup").write_text("nonsense\n")
    assert read_cpu_quota(system.proc) == math.inf


@pytest.mark.parametrize(
    ("runs_on", "quota", "usable"), [(8, math.inf, 8), (8, 2.5, 3), (2, 2.5, 2), (8, 0.2, 1), (1, math.inf, 1)]
)
def test_the_lesser_of_affinity_and_quota_counts(
    monkeypatch: pytest.MonkeyPatch, runs_on: int, quota: float, usable: int
) -> None:
    monkeypatch.setattr("os.process_cpu_count", lambda: runs_on, raising=False)
    monkeypatch.setattr(cpus, "read_cpu_quota", lambda: quota)
    assert count_usable_cpus() == usable


@pytest.mark.parametrize(
    ("machine", "runs_on", "quota", "limit"),
    [
        (8, 8, math.inf, ""),
        (8, 8, 2.5, "quota of its cgroup"),
        (8, 8, 7.5, ""),
        (8, 2, math.inf, "its affinity"),
        (8, 2, 4, "its affinity"),
        (8, 4, 2, "quota of its cgroup"),
        (1, 1, 0.2, ""),
    ],
)
def test_what_keeps_from_all_cpus_is_named(
    monkeypatch: pytest.MonkeyPatch, machine: int, runs_on: int, quota: float, limit: str
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: machine)
    monkeypatch.setattr("os.process_cpu_count", lambda: runs_on, raising=False)
    monkeypatch.setattr(cpus, "read_cpu_quota", lambda: quota)
    assert describe_cpu_limit() == limit


def test_this_systems_own_files_can_be_read() -> None:
    assert read_cpu_quota() > 0
    assert count_usable_cpus() >= 1
