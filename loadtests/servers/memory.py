"""The memory of a server: its process and every process below it."""

from collections.abc import Sequence

import psutil

MEGABYTE = 1_000_000


def tree(pid: int) -> list[psutil.Process]:
    """Return the process and those below it; raises psutil.NoSuchProcess."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def of_tree(pid: int) -> dict[str, float]:
    """Return the sums over all processes of the tree, in MB; raises psutil.NoSuchProcess."""
    return of_processes(tree(pid))


def of_processes(processes: Sequence[psutil.Process]) -> dict[str, float]:
    """Return the sums over these processes, in MB; raises psutil.NoSuchProcess.

    RSS counts what processes share once for each of them, PSS once in all, and USS leaves it out.
    """
    infos = [process.memory_full_info() for process in processes]
    return {
        "PSS MB": sum(info.pss for info in infos) / MEGABYTE,
        "USS MB": sum(info.uss for info in infos) / MEGABYTE,
        "RSS MB": sum(info.rss for info in infos) / MEGABYTE,
    }
