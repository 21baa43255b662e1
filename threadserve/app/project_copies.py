"""Loading the application's project once more for each further thread, and what to say where that fails.

Runs on the loop thread that loads, under the lock of `loading`. It owns the instances; it never calls an application.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from itertools import accumulate
from typing import Any

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

SHARED_INSTANCE_REMEDY = (
    "or share the whole application with --app-instance shared: what it makes for one event loop then fails on others"
)


def is_module_copyable(module: str) -> bool:
    """Whether a module that has been imported can be executed once more."""
    stands = sys.modules[module]
    return type(stands) is ModuleProxy or make_project(module, ()).has(module, getattr(stands, "__spec__", None))


def make_project(module: str, shared: Sequence[str]) -> Project:
    """The project of the application in a module that has been imported."""
    packages = accumulate(module.split("."), "{}.{}".format)
    with_code = (name for name in packages if getattr(sys.modules.get(name), "__file__", None))
    return Project(next(with_code, module), tuple(shared))


def find_sharing_reason(module: str, shared: Sequence[str]) -> str:
    """Why the application in a module that has been imported is to be one for all threads, or nothing.

    `shared` are the modules that are to be kept in one copy.
    """
    django = sys.modules.get("django.apps")
    if django is not None and django.apps.ready:
        return "it has set up Django, which is made for threads and has one registry"
    if is_within(module, shared):
        return f"--app-shared {module}"
    return ""


def find_unknown_module(shared: Sequence[str]) -> str | None:
    """What is wrong with the modules that are to be kept in one copy, once the application is imported, or None."""
    for name in shared:
        if name not in sys.modules and not module_exists(name):
            return f"--app-shared: there is no module {name!r}{suggest_imported_module(name)}"
    return None


def module_exists(module: str) -> bool:
    """Whether a module could be imported; the packages around it are for that."""
    try:
        return find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):
        return False


class ProjectCopies:
    """The project of an application, with a copy for each thread beside the first, which has been imported.

    `modules` is how many modules the last copy has that was loaded.
    """

    def __init__(self, app: str, module: str, project: Project) -> None:
        self._app = app
        self._module = module
        self._project = project
        self._instances: dict[int, Instance] = {}
        self.modules = 0
        registry.install(self._project)
        set_current_instance(registry.first)

    def load(self, number: int, attribute: str, make: Callable[[Any], Any]) -> Any:
        """Returns what `make` makes of the attribute in the copy for a loop thread, whose predecessor's is given up.

        Raises `AppNotRepeatable` where the project cannot be loaded once more. There is no traceback then, for the
        application works; it is just not made for this.
        """
        if (predecessor := self._instances.pop(number, None)) is not None:
            predecessor.release()
        instance = self._instances[number] = Instance()
        set_current_instance(instance)
        try:
            app = make(resolve_attribute(instance.imported(self._module), attribute))
        except BaseException as error:
            # KeyboardInterrupt as well: the user's is raised on the main thread, which loads the first copy if any.
            wrapped = isinstance(error, (CopyError, AppImportFailed)) and error.__cause__ is not None
            cause = error.__cause__ if wrapped else error
            raise self._complaint(cause) from cause
        self.modules = instance.modules
        return app

    def end(self) -> None:
        """Leaves the first copy alone, as it was imported."""
        for instance in self._instances.values():
            instance.release()
        registry.uninstall(self._project)

    def _complaint(self, error: Any) -> AppNotRepeatable:
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
    """Whether an error shows that a file of the project is no longer what it was when the first copy was imported."""
    is_gone = isinstance(error, ModuleNotFoundError) and registry.first.known(error.name or "") is not None
    return is_gone or isinstance(error, SyntaxError)
