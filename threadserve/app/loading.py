"""The loader that gives each loop thread its application.

All loop threads share one `AppLoader`. Each calls `load_threadsafe` on its own thread, within its running loop, so that
objects made by the import belong to that loop, unless the import came earlier. The loader decides how many instances
there are; it never calls an instance.
"""

import inspect
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

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
from threadserve.runtime.immortal import immortalize_constants
from threadserve.types import AnyApp, ASGIApp
from threadserve.wsgi.middleware import WSGIMiddleware

logger = logging.getLogger("threadserve.error")

ADAPTERS: dict[str, Callable[[AnyApp], ASGIApp]] = {"asgi2": ASGI2Adapter, "channels": ChannelsAdapter}


class AppLoader:
    """Loads the application, once or once per thread.

    `interface` is the application's interface, no longer "auto" once it is loaded. `wsgi` is the middleware for a WSGI
    application, with its threads started. `sharing_reason` says why several threads share one instance, "" if they do
    not. The loading lock guards all attributes; they may be read without it once every thread has loaded.
    """

    def __init__(self, config: Config) -> None:
        self.interface: Literal["auto", "asgi3", "asgi2", "wsgi", "channels"] = config.interface
        self.wsgi: WSGIMiddleware | None = None
        self.sharing_reason = ""
        self._config = config
        self._name = config.app if isinstance(config.app, str) else _name_object(config.app)
        self._thread_count = config.thread_count
        self._import_string: ImportString | None = None
        self._factory: Callable[[], AnyApp] | None = None
        self._first: AnyApp | None = None
        self._copies: ProjectCopies | None = None
        self._failure: AppLoadError | None = None
        self._loading_lock = threading.Lock()
        self._import_guard = ImportGuard(self._name)

    @property
    def instance_count(self) -> int:
        """The number of instances that the configured threads use, once every thread has loaded."""
        return 1 if self.sharing_reason else self._thread_count

    @property
    def copied_module_count(self) -> int:
        """The number of modules that each instance has a copy of, as imported with the application."""
        return self._copies.module_count if self._copies is not None else 0

    def check(self) -> None:
        """Raise `ThreadsStuck` if all threads that call a WSGI application are stuck."""
        if self.wsgi is not None and self.wsgi.pool.is_exhausted:
            raise ThreadsStuck("every thread that calls the WSGI application is stuck: terminating process")

    def stop(self, timeout: float) -> bool:
        """End the threads that call a WSGI application, and the copies of the project.

        Returns whether those threads ended within `timeout` seconds. Must be called once, when no request is served.
        """
        if self._copies is not None:
            self._copies.close()
        return self.wsgi is None or self.wsgi.stop(timeout)

    def import_threadsafe(self) -> None:
        """Import the application early. An error is raised later, by `load_threadsafe`."""
        with self._loading_lock, self._import_guard.hold():
            try:
                self._find_target()
            except AppLoadError as error:
                self._failure = error

    def load_threadsafe(self, number: int) -> ASGIApp:
        """Return the application for the calling thread: an instance of its own, or the shared one.

        `number` is the number of the thread's loop, which a replacement keeps. The first call imports the module while
        other threads wait. Raises `AppLoadError` if there is no such application or it cannot be loaded once per
        thread, and `AppImportFailed` if its own code raised.
        """
        with self._loading_lock, self._import_guard.hold():
            app = self._load_first() if self._first is None else self._load_next(self._first, number)
            if self.interface == "wsgi":
                return self._wrap_wsgi(app)
            adapter = ADAPTERS.get(self.interface)
            return app if adapter is None else adapter(app)

    def _wrap_wsgi(self, app: AnyApp) -> WSGIMiddleware:
        """Return the middleware that calls the one instance for all loops, and start its threads."""
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

    def _load_first(self) -> AnyApp:
        """Load for the first thread. A failure is kept, and raised for every other thread without another attempt."""
        if self._failure is not None:
            raise type(self._failure)(str(self._failure)) from self._failure.__cause__
        try:
            target = self._find_target()
            self._factory = self._select_factory(target)
            first = self._make_app(target)
            if (mistake := find_unknown_module(list_texts(self._config.app_shared))) is not None:
                raise AppLoadError(mistake)
            self._first = first
            immortalize_constants()
        except AppLoadError as error:
            self._failure = error
            raise
        self._choose_instances()
        return self._first

    def _find_target(self) -> AnyApp:
        """Return the object that the setting is or names. Python searches the application's folder first."""
        if not isinstance(self._config.app, str):
            return self._config.app
        self._import_string = parse_import_string(self._config.app)
        folder = Path(self._config.app_dir or "").absolute()
        if str(folder) not in sys.path[:1]:
            sys.path.insert(0, str(folder))
        target: AnyApp = import_object(self._import_string, folder)
        return target

    def _select_factory(self, target: AnyApp) -> Callable[[], AnyApp] | None:
        if self._config.factory:
            _raise_if_mistaken(self._name, find_factory_mistake(target))
            return target
        if not is_factory(target):
            return None
        logger.warning("%s takes no arguments, so it is used as a factory. Add --factory to say so.", self._name)
        return target

    def _make_app(self, target: AnyApp) -> AnyApp:
        """Return the application: the target itself, or what it returns if it is a factory."""
        return self._check_app(target) if self._factory is None else self._call_factory(target)

    def _call_factory(self, factory: Callable[[], AnyApp]) -> AnyApp:
        with wrap_app_errors(f"the factory {self._name} failed"):
            app = factory()
        if inspect.iscoroutine(app):
            app.close()
            _raise_if_mistaken(self._name, ASYNC_FACTORY)
        return self._check_app(app, f"what the factory {self._name} returned")

    def _check_app(self, app: AnyApp, subject: str = "") -> AnyApp:
        """Return an application that has passed the checks, and set its interface."""
        _raise_if_mistaken(subject or self._name, find_app_mistake(app, self._config.interface))
        if self._config.interface == "auto":
            self.interface = detect_interface(app)
        return app

    def _choose_instances(self) -> None:
        """Choose between a shared instance and one per thread."""
        module = self._import_string.module if self._import_string is not None else None
        if self.interface == "wsgi":
            self.sharing_reason = "WSGI applications are made for threads"
        elif self._config.app_instance == "shared":
            self.sharing_reason = "--app-instance shared"
        elif self._thread_count > 1 and module is not None:
            self._choose_copies(module, list_texts(self._config.app_shared))
        elif self._factory is None:
            self.sharing_reason = "it was given as an object" if module is None else "there is one thread"

    def _choose_copies(self, module: str, shared: list[str]) -> None:
        if not is_module_copyable(module):
            self._share_with_warning(f"the module {module} can be executed only once")
            return
        self.sharing_reason = find_sharing_reason(module, shared)
        if self.sharing_reason:
            return
        project = make_project(module, shared)
        if (kept := find_framework_registry(self._first, project)) is not None:
            self._share_with_warning(f"its code is registered in {kept}, of which there is one")
        else:
            self._copies = ProjectCopies(self._name, module, project)

    def _load_next(self, first: AnyApp, number: int) -> AnyApp:
        """Load for a further thread, or for the replacement of one."""
        if self.sharing_reason:
            return first
        with without_duplicate_handlers():
            app = self._load_instance(number)
        if app is first:
            self._share_with_warning(
                "its factory returns the same one each time"
                if self._factory
                else "its module imports it from one that is there once"
            )
        return app

    def _share_with_warning(self, reason: str) -> None:
        """Share one instance, with a warning because no setting asked for that."""
        self.sharing_reason = reason
        if self._thread_count > 1:
            logger.warning("%s is shared by all %d threads, because %s.", self._name, self._thread_count, reason)

    def _load_instance(self, number: int) -> AnyApp:
        if self._copies is not None and self._import_string is not None:
            return self._copies.load(number, self._import_string.attribute, self._make_app)
        assert self._factory is not None
        return self._call_factory(self._factory)


def _raise_if_mistaken(subject: str, mistake: str | None) -> None:
    if mistake is not None:
        raise AppLoadError(f"{subject} {mistake}")


def _name_object(app: object) -> str:
    """Return a name for an application that was given as an object."""
    return f"{app.__module__}.{app.__qualname__}" if hasattr(app, "__qualname__") else f"the {type(app).__qualname__}"
