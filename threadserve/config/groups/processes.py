"""Several processes, and starting anew when the code changes. Declarations only."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from threadserve.config.build import number_or_auto
from threadserve.config.checks import between, texts
from threadserve.config.declaring import LONGEST_TIMEOUT, setting


@dataclass(eq=False, kw_only=True)
class Processes:
    """Worker processes and automatic reload."""

    heading: ClassVar = "Processes"

    workers: int | Literal["auto"] | None = setting(
        None,
        "Worker processes, each with its own threads; auto is one per usable CPU.",
        check=number_or_auto,
        metavar="N|auto",
        shown_default="1; $WEB_CONCURRENCY on a build with the GIL",
    )
    timeout_worker_healthcheck: float = setting(
        5, "Replace a worker that gives no sign of life for this long.", check=between(0.1, LONGEST_TIMEOUT)
    )
    reload: bool = setting(False, "Start anew when the code changes: for development.")
    reload_dirs: Sequence[str] | str | None = setting(
        None,
        "Watch this folder; may be repeated.",
        check=texts,
        flag="--reload-dir",
        metavar="DIR",
        shown_default="the working directory",
    )
    reload_includes: Sequence[str] | str | None = setting(
        None,
        "Watch files that match this pattern; may be repeated.",
        check=texts,
        flag="--reload-include",
        metavar="PATTERN",
        shown_default="*.py",
    )
    reload_excludes: Sequence[str] | str | None = setting(
        None,
        "Do not watch files that match this pattern; may be repeated.",
        check=texts,
        flag="--reload-exclude",
        metavar="PATTERN",
        shown_default=".*, .py[cod], .sw.*, ~*",
    )
    reload_delay: float = setting(0.25, "Look for changes this often.", check=between(0.01, LONGEST_TIMEOUT))
    callback_notify: Callable[[], Awaitable[Any]] | None = None
    timeout_notify: float = 30
