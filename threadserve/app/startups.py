"""The start-ups of an application that several loops share: the first by itself, then the others at once.

Every loop thread calls it before and after its application starts up. It owns, guarded by locks that are held for a few
lines, which loop has which application, who waits for the first, and what the start-ups have set on the application. It
never calls an application.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from threadserve.app.app_attributes import collect_attributes, find_changes, is_set_by_framework, unwrap_app
from threadserve.config import Config
from threadserve.logging.wording import join_names
from threadserve.types import ASGIApp

logger = logging.getLogger("threadserve.error")

OWN_INSTANCE_REMEDY = 'let each thread have an app of its own (see "App instances" in the README)'


class StartupCoordinator:
    """All start-ups of a process."""

    def __init__(self, config: Config) -> None:
        self._is_shared_on_demand = config.app_instance == "shared"
        self._lock = threading.Lock()
        self._of_loops: dict[int, AppStartups] = {}

    def of_threadsafe(self, number: int, app: ASGIApp) -> "AppStartups":
        """The start-ups of the application that a loop has loaded, which it may share whatever wraps it there."""
        heart = unwrap_app(app)
        with self._lock:
            known = next((known for known in self._of_loops.values() if known.heart is heart), None)
            self._of_loops[number] = known or AppStartups(heart, is_shared_on_demand=self._is_shared_on_demand)
            return self._of_loops[number]


class AppStartups:
    """The start-ups of one application, of which frameworks expect that they do not overlap.

    Starlette would build its middleware twice, and BlackSheep wait for ever on an event of another loop. Where the
    first start-up fails the others never begin; the server stops then.
    """

    def __init__(self, heart: Any, *, is_shared_on_demand: bool) -> None:
        self.heart = heart
        self._remedy = "leave out --app-instance shared" if is_shared_on_demand else OWN_INSTANCE_REMEDY
        self._lock = threading.Lock()
        self._has_begun = False
        self._is_up = False
        self._waiting: list[Callable[[], object]] = []
        # By which loop each attribute was set last.
        self._set_by: dict[tuple[int, str], int] = {}
        self._told: set[tuple[int, str]] = set()

    def enter_threadsafe(self, begin: Callable[[], object]) -> None:
        """Has `begin` called, at once or by another thread, when a start-up may begin."""
        with self._lock:
            if self._has_begun and not self._is_up:
                self._waiting.append(begin)
                return
            self._has_begun = True
        begin()

    @contextmanager
    def watched_threadsafe(self, number: int, app: ASGIApp) -> Iterator[None]:
        """Watches the start-up of a loop, to warn where it overwrites what that of another has set on the app."""
        before = collect_attributes(app)
        yield
        new = find_changes(before, collect_attributes(app))
        with self._lock:
            overwritten = {key for key in new if self._set_by.get(key, number) != number} - self._told
            self._told |= overwritten
            self._set_by.update(dict.fromkeys(new, number))
            self._is_up = True
            waiting, self._waiting = self._waiting, []
        for begin in waiting:
            begin()
        labels = sorted(new[key].label for key in overwritten if not is_set_by_framework(new[key]))
        if labels:
            self._warn(labels)

    def _warn(self, labels: list[str]) -> None:
        logger.warning(
            "The lifespans of several threads set %s of the one app that they share: all threads use what was set "
            'last, which may belong to the event loop of another. yield {"client": ...} in the lifespan and use '
            "request.state.client instead, or %s.",
            join_names(labels),
            self._remedy,
        )
