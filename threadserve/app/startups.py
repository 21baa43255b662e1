"""The order of an application's start-ups where several loops share it: first one alone, then the others at once.

Every loop thread calls it before and after its application's start-up. It owns which loop has which application, the
pending start-ups, and the attributes that start-ups have set; its locks are held for a few lines. It never calls an
application.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from threadserve.app.app_attributes import collect_attributes, find_changes, is_set_by_framework, unwrap_app
from threadserve.config import Config
from threadserve.logging.wording import join_names
from threadserve.types import ASGIApp

logger = logging.getLogger("threadserve.error")

OWN_INSTANCE_REMEDY = 'let each thread have an app of its own (see "App instances" in the README)'


class StartupCoordinator:
    """The start-ups of all applications of a process. Any loop thread may call it; a lock guards its state."""

    def __init__(self, config: Config) -> None:
        self._is_shared_by_setting = config.app_instance == "shared"
        self._lock = threading.Lock()
        self._by_loop: dict[int, AppStartups] = {}

    def register_threadsafe(self, number: int, app: ASGIApp) -> "AppStartups":
        """Return the start-ups of the application inside a loop's wrappers, which several loops may share."""
        inner_app = unwrap_app(app)
        with self._lock:
            known = next((known for known in self._by_loop.values() if known.inner_app is inner_app), None)
            self._by_loop[number] = known or AppStartups(inner_app, is_shared_by_setting=self._is_shared_by_setting)
            return self._by_loop[number]


class AppStartups:
    """The start-ups of one application. The first runs alone, because frameworks expect no overlap.

    Starlette would build its middleware twice, and BlackSheep would wait forever on an event of another loop. If the
    first start-up fails the others never begin, because the server stops.
    """

    def __init__(self, inner_app: object, *, is_shared_by_setting: bool) -> None:
        self.inner_app = inner_app
        self._remedy = "leave out --app-instance shared" if is_shared_by_setting else OWN_INSTANCE_REMEDY
        self._lock = threading.Lock()
        self._is_begun = False
        self._is_up = False
        self._pending: list[Callable[[], object]] = []
        # The number of the loop that set an attribute last.
        self._last_setter: dict[tuple[int, str], int] = {}
        self._reported: set[tuple[int, str]] = set()

    def schedule_threadsafe(self, begin: Callable[[], object]) -> None:
        """Call `begin` when a start-up may begin: at once, or later on the thread that completes the first one."""
        with self._lock:
            if self._is_begun and not self._is_up:
                self._pending.append(begin)
                return
            self._is_begun = True
        begin()

    @contextmanager
    def watch_threadsafe(self, number: int, app: ASGIApp) -> Iterator[None]:
        """Watch the start-up of a loop, to warn about attributes of the shared app that another loop has set."""
        before = collect_attributes(app)
        yield
        new = find_changes(before, collect_attributes(app))
        with self._lock:
            overwritten = {key for key in new if self._last_setter.get(key, number) != number} - self._reported
            self._reported |= overwritten
            self._last_setter.update(dict.fromkeys(new, number))
            self._is_up = True
            pending, self._pending = self._pending, []
        for begin in pending:
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
