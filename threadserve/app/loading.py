"""Where the loop threads get their application from.

One `AppLoader` serves all loop threads: each calls `load_threadsafe` on its own thread, in its running loop, so that
what the application makes while it is imported belongs to that loop, unless it is imported before. It owns the decision
how many instances there are; it never calls an instance.
"""

import inspect
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from threadserve.app.app_errors import wrap_app_errors
from threadserve.app.asgi2 import ASGI2Adapter
from threadserve.app.channels import ChannelsAdapter
from threadserve.app.detection import (
    ASYNC_FACTORY,
    detect_interface,
    find_app_mistake,
    find_factory_mistake,
    is_factory,
)
from threadserve.app.framework_registries import find_framework_registry
from threadserve.app.import_guard import ImportGuard
from threadserve.app.import_string import ImportString, import_object, parse_import_string
from threadserve.app.project_copies import (
    ProjectCopies,
    find_sharing_reason,
    find_unknown_module,
    is_module_copyable,
    make_project,
)
from threadserve.config import Config
from threadserve.config.declaring import list_texts
from threadserve.errors import AppLoadError, ThreadsStuck
from threadserve.logging.duplicate_handlers import without_duplicate_handlers
from threadserve.runtime.uncounted import exempt_constants
from threadserve.types import ASGIApp
from threadserve.wsgi.middleware import WSGIMiddleware

logger = logging.getLogger("threadserve.error")

ADAPTERS: dict[str, Callable[[Any], ASGIApp]] = {"asgi2": ASGI2Adapter, "channels": ChannelsAdapter}


class AppLoader:
    """Loads the application, once or once per thread.

    `interface` is what the application speaks, no longer "auto" once it is loaded, `wsgi` what calls it if that
    is "wsgi", with its threads started, and `shared_because` why several threads share one instance, if they do. The
    loading lock guards all attributes; what is to be read without it is settled once every thread has loaded.
    """

    def __init__(self, config: Config) -> None:
        self.interface: Literal["auto", "asgi3", "asgi2", "wsgi", "channels"] = config.interface
        self.wsgi: WSGIMiddleware | None = None
        self.shared_because = ""
        self._config = config
        self._name = config.app if isinstance(config.app, str) else _name_object(config.app)
        self._threads = config.thread_count
        self._string: ImportString | None = None
        self._factory: Callable[[], Any] | None = None
        self._first: Any = None
        self._copies: ProjectCopies | None = None
        self._failure: AppLoadError | None = None
        self._loading_lock = threading.Lock()
        self._imported = ImportGuard(self._name)

    @property
    def instances(self) -> int:
        """How many instances the configured threads use, once every one of them has loaded."""
        return 1 if self.shared_because else self._threads

    @property
    def copied_modules(self) -> int:
        """How many modules each instance has its own copy of, as far as they are imported with the application."""
        return self._copies.modules if self._copies is not None else 0

    def check(self) -> None:
        """Raises `ThreadsStuck` when the threads that call a WSGI application do not come back."""
        if self.wsgi is not None and self.wsgi.pool.is_exhausted:
            raise ThreadsStuck("every thread that calls the WSGI application is stuck: terminating process")

    def stop(self, timeout: float) -> bool:
        """Ends the threads that call a WSGI application, and the copies of the project.

        Returns whether those threads have ended within `timeout` seconds. To be called once, when nobody is served.
        """
        if self._copies is not None:
            self._copies.end()
        return self.wsgi is None or self.wsgi.stop(timeout)

    def import_threadsafe(self) -> None:
        """Imports the application before it is loaded, which then raises what is wrong with it."""
        with self._loading_lock, self._imported.by_this_thread():
            try:
                self._find()
            except AppLoadError as error:
                self._failure = error

    def load_threadsafe(self, number: int) -> ASGIApp:
        """Returns the application for the calling thread: an instance of its own, or the one that all share.

        `number` is the place of the thread's loop, which a successor takes over. The first call imports the module;
        threads that call meanwhile wait. Raises `AppLoadError` if there is no such application or it cannot be loaded
        once per thread, `AppImportFailed` if its own code raised.
        """
        with self._loading_lock, self._imported.by_this_thread():
            app = self._load_first() if self._first is None else self._load_next(number)
            if self.interface == "wsgi":
                return self._in_pool(app)
            adapter = ADAPTERS.get(self.interface)
            return app if adapter is None else adapter(app)

    def _in_pool(self, app: Any) -> WSGIMiddleware:
        """What calls the one instance, for all loops."""
        if self.wsgi is None:
            config = self._config
            self.wsgi = WSGIMiddleware(
                app,
                threads=config.wsgi_thread_count,
                queue=config.wsgi_queue,
                timeout_request=config.timeout_request,
                is_multiprocess=config.worker_count > 1,
            )
            self.wsgi.pool.start()
        return self.wsgi

    def _load_first(self) -> Any:
        """Loads for the first thread. What failed for it fails for the others without being tried again."""
        if self._failure is not None:
            raise type(self._failure)(str(self._failure)) from self._failure.__cause__
        try:
            target = self._find()
            self._factory = self._factory_in(target)
            first = self._made_of(target)
            if (mistake := find_unknown_module(list_texts(self._config.app_shared))) is not None:
                raise AppLoadError(mistake)
            self._first = first
            exempt_constants()
        except AppLoadError as error:
            self._failure = error
            raise
        self._decide_on_instances()
        return self._first

    def _find(self) -> Any:
        """The object that the setting is or names; Python looks for its module in the application's folder first."""
        if not isinstance(self._config.app, str):
            return self._config.app
        self._string = parse_import_string(self._config.app)
        folder = Path(self._config.app_dir or "").absolute()
        if str(folder) not in sys.path[:1]:
            sys.path.insert(0, str(folder))
        return import_object(self._string, folder)

    def _factory_in(self, target: Any) -> Callable[[], Any] | None:
        factory: Callable[[], Any] = target
        if self._config.factory:
            _raise_if_mistaken(self._name, find_factory_mistake(target))
            return factory
        if not is_factory(target):
            return None
        logger.warning("%s takes no arguments, so it is used as a factory. Add --factory to say so.", self._name)
        return factory

    def _made_of(self, target: Any) -> Any:
        """The application that the target is, or that it makes if it is a factory."""
        return self._accept(target) if self._factory is None else self._build(target)

    def _build(self, factory: Callable[[], Any]) -> Any:
        with wrap_app_errors(f"the factory {self._name} failed"):
            app = factory()
        if inspect.iscoroutine(app):
            app.close()
            _raise_if_mistaken(self._name, ASYNC_FACTORY)
        return self._accept(app, f"what the factory {self._name} returned")

    def _accept(self, app: Any, subject: str = "") -> Any:
        """Returns an application that has passed the checks, with its interface noted."""
        _raise_if_mistaken(subject or self._name, find_app_mistake(app, self._config.interface))
        if self._config.interface == "auto":
            self.interface = detect_interface(app)
        return app

    def _decide_on_instances(self) -> None:
        """Threads share what is made for it, or is there once; otherwise each has an instance."""
        module = self._string.module if self._string is not None else None
        if self.interface == "wsgi":
            self.shared_because = "WSGI applications are made for threads"
        elif self._config.app_instance == "shared":
            self.shared_because = "--app-instance shared"
        elif self._threads > 1 and module is not None:
            self._decide_on_copies(module, list_texts(self._config.app_shared))
        elif self._factory is None:
            self.shared_because = "it was given as an object" if module is None else "there is one thread"

    def _decide_on_copies(self, module: str, shared: list[str]) -> None:
        if not is_module_copyable(module):
            self._share(f"the module {module} can be executed only once")
            return
        self.shared_because = find_sharing_reason(module, shared)
        if self.shared_because:
            return
        project = make_project(module, shared)
        if (kept := find_framework_registry(self._first, project)) is not None:
            self._share(f"its code is registered in {kept}, of which there is one")
        else:
            self._copies = ProjectCopies(self._name, module, project)

    def _load_next(self, number: int) -> Any:
        """Loads for a further thread, or for one that takes the place of another."""
        if self.shared_because:
            return self._first
        with without_duplicate_handlers():
            app = self._make_another(number)
        if app is self._first:
            self._share(
                "its factory returns the same one each time"
                if self._factory
                else "its module imports it from one that is there once"
            )
        return app

    def _share(self, reason: str) -> None:
        """Has the threads share one instance, which nobody has asked for."""
        self.shared_because = reason
        if self._threads > 1:
            logger.warning("%s is shared by all %d threads, because %s.", self._name, self._threads, reason)

    def _make_another(self, number: int) -> Any:
        if self._copies is not None and self._string is not None:
            return self._copies.load(number, self._string.attribute, self._made_of)
        assert self._factory is not None
        return self._build(self._factory)


def _raise_if_mistaken(subject: str, mistake: str | None) -> None:
    if mistake is not None:
        raise AppLoadError(f"{subject} {mistake}")


def _name_object(app: Any) -> str:
    """What to call an application that was given as an object."""
    return f"{app.__module__}.{app.__qualname__}" if hasattr(app, "__qualname__") else f"the {type(app).__qualname__}"
