"""The copies of the projects that are served in this process: put into the import system, and taken out of it.

Any thread may install and uninstall, under the registry's lock. It owns the first copies, which are the modules as they
were imported, and the stand-ins in `sys.modules`, for as long as somebody serves copies.
"""

import sys
import threading
from collections.abc import Iterable
from importlib.machinery import ModuleSpec

from threadserve.instances.asking import forget_all
from threadserve.instances.import_system import ImportSystem
from threadserve.instances.instance import Instance
from threadserve.instances.project import Project
from threadserve.instances.stand_in import StandIn, name_of


class Registry:
    """What stands in `sys.modules` for the modules of the installed projects."""

    def __init__(self) -> None:
        self.first = Instance()
        self._registry_lock = threading.RLock()
        self._projects: list[Project] = []
        self._import_system = ImportSystem(self.first, self._has)

    def install(self, project: Project) -> None:
        """Lets each instance have copies of a project's modules, those that are imported later included.

        What has been imported is the first instance's, and that of all who belong to none.
        """
        with self._registry_lock:
            if not self._projects:
                self.first = Instance()
                self._import_system = ImportSystem(self.first, self._has)
                self._import_system.change()
            self._projects.append(project)
            for name, module in list(sys.modules.items()):
                if type(module) is not StandIn and project.has(name, getattr(module, "__spec__", None)):
                    self.first.adopt(name, module)
                    sys.modules[name] = StandIn(name, self.first)

    def uninstall(self, project: Project) -> None:
        """Leaves one copy of a project's modules, the first, once nobody has any project installed."""
        with self._registry_lock:
            self._projects.remove(project)
            if self._projects:
                return
            self._import_system.restore()
            for name in stand_ins():
                module = self.first.known(name)
                if module is None:
                    # Another instance alone has imported it.
                    del sys.modules[name]
                else:
                    sys.modules[name] = module
            self.first.release()
            forget_all()

    def _has(self, name: str, spec: ModuleSpec) -> bool:
        """Whether a module is to be there for each instance."""
        return any(project.has(name, spec) for project in list(self._projects))


def stand_ins() -> Iterable[str]:
    """The names of the modules that have a stand-in."""
    return [name_of(module) for module in list(sys.modules.values()) if type(module) is StandIn]


registry = Registry()
