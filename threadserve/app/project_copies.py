"""Copies of the application's project for further threads, and the error where a copy cannot be made.

Runs on the loop thread that loads, under the lock of `AppLoader`. It owns the instances and never calls an application.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from itertools import accumulate

from threadserve.app.app_errors import format_error
from threadserve.app.failed_module import find_failed_module
from threadserve.app.import_string import resolve_attribute
from threadserve.app.suggestions import suggest_imported_module
from threadserve.errors import AppImportFailed, AppNotRepeatable
from threadserve.instances.current_instance import set_current_instance
from threadserve.instances.instance import CopyError, Instance
from threadserve.instances.module_proxy import ModuleProxy
from threadserve.instances.project import Project, is_within
from threadserve.instances.registry import registry
from threadserve.types import AnyApp

SHARED_INSTANCE_REMEDY = (
    "or share the whole application with --app-instance shared: what it makes for one event loop then fails on others"
)


def is_module_copyable(module: str) -> bool:
    """Return whether an imported module can be executed once more."""
    current = sys.modules[module]
    return type(current) is ModuleProxy or make_project(module, ()).contains(module, getattr(current, "__spec__", None))


def make_project(module: str, shared: Sequence[str]) -> Project:
    """Return the project of the application in an imported module."""
    packages = accumulate(module.split("."), "{}.{}".format)
    with_code = (name for name in packages if getattr(sys.modules.get(name), "__file__", None))
    return Project(next(with_code, module), tuple(shared))


def find_sharing_reason(module: str, shared: Sequence[str]) -> str:
    """Return why the application in an imported module must be shared by all threads, or "".

    `shared` are the modules to keep in one copy.
    """
    django = sys.modules.get("django.apps")
    if django is not None and django.apps.ready:
        return "it has set up Django, which is made for threads and has one registry"
    if is_within(module, shared):
        return f"--app-shared {module}"
    return ""


def find_unknown_module(shared: Sequence[str]) -> str | None:
    """Return the error for the first of the modules to keep in one copy that does not exist, or None."""
    for name in shared:
        if name not in sys.modules and not module_exists(name):
            return f"--app-shared: there is no module {name!r}{suggest_imported_module(name)}"
    return None


def module_exists(module: str) -> bool:
    """Return whether a module could be imported. The packages around it are imported to find out."""
    try:
        return find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):
        return False


class ProjectCopies:
    """The project of an application: the copy imported first, and one more for each further thread.

    `module_count` is the number of modules in the copy loaded last. Guarded by the lock of `AppLoader`.
    """

    def __init__(self, app: str, module: str, project: Project) -> None:
        self._app = app
        self._module = module
        self._project = project
        self._instances: dict[int, Instance] = {}
        self.module_count = 0
        registry.install(self._project)
        set_current_instance(registry.first)

    def load(self, number: int, attribute: str, make: Callable[[AnyApp], AnyApp]) -> AnyApp:
        """Return what `make` makes of the attribute in a new copy for a loop thread.

        The copy of a thread's predecessor is released. Raises `AppNotRepeatable` if the project cannot be loaded once
        more.
        """
        if (predecessor := self._instances.pop(number, None)) is not None:
            predecessor.release()
        instance = self._instances[number] = Instance()
        set_current_instance(instance)
        try:
            app = make(resolve_attribute(instance.import_copy(self._module), attribute))
        except BaseException as error:
            # KeyboardInterrupt too: the user's is raised on the main thread, which only ever loads the first copy.
            cause: BaseException = error
            if isinstance(error, (CopyError, AppImportFailed)) and error.__cause__ is not None:
                cause = error.__cause__
            raise self._make_error(cause) from cause
        self.module_count = instance.module_count
        return app

    def close(self) -> None:
        """Release all copies but the first, which stays as it was imported."""
        for instance in self._instances.values():
            instance.release()
        registry.uninstall(self._project)

    def _make_error(self, error: BaseException) -> AppNotRepeatable:
        cannot = f"{self._app} cannot be loaded once per thread"
        if is_changed_file(error):
            changed = f"its files have changed since it was imported first ({format_error(error)})"
            return AppNotRepeatable(f"{cannot}: {changed}", "Start the server again")
        module = find_failed_module(error)
        if module is None or module == self._module:
            return AppNotRepeatable(
                f"{cannot}: {format_error(error)}",
                "Move what can be done only once into a module of its own, and keep that in one copy with --app-shared "
                f"MODULE; {SHARED_INSTANCE_REMEDY}",
            )
        options = " ".join(f"--app-shared {name}" for name in (*self._project.shared, module))
        return AppNotRepeatable(
            f"{cannot}: the module {module} can be executed only once ({format_error(error)})",
            f"Keep it in one copy with {options}; {SHARED_INSTANCE_REMEDY}",
        )


def is_changed_file(error: BaseException) -> bool:
    """Return whether an error shows that a file of the project has changed since the first copy was imported."""
    is_gone = isinstance(error, ModuleNotFoundError) and registry.first.find_copy(error.name or "") is not None
    return is_gone or isinstance(error, SyntaxError)
