"""The copies of the projects that are served in this process: put into the import system, and taken out of it.

Any thread may install and uninstall, under the registry's lock. It owns the first copies, which are the modules as they
were imported, and the stand-ins in `sys.modules`, for as long as somebody serves copies.
"""

import sys
import threading
from importlib.machinery import ModuleSpec
from types import ModuleType

from threadserve.instances.current_instance import clear_thread_instances
from threadserve.instances.import_hooks import ImportHooks, ModuleProxyLoader
from threadserve.instances.instance import Instance
from threadserve.instances.module_proxy import ModuleProxy, ModuleProxySpec, get_proxied_name
from threadserve.instances.project import NEVER_COPIED, Project


class InstanceRegistry:
    """What stands in `sys.modules` for the modules of the installed projects."""

    def __init__(self) -> None:
        self.first = Instance()
        self._registry_lock = threading.RLock()
        self._projects: list[Project] = []
        self._import_system = ImportHooks(self.first, self._has)

    def install(self, project: Project) -> None:
        """Lets each instance have copies of a project's modules, those that are imported later included.

        What has been imported is the first instance's, and that of all who belong to none.
        """
        with self._registry_lock:
            if not self._projects:
                self.first = Instance()
                self._import_system = ImportHooks(self.first, self._has)
                self._import_system.change()
            self._projects.append(project)
            self._adopt()

    def _adopt(self) -> None:
        """Puts stand-ins in the places of the modules that have been imported, other names for them included."""
        stand_ins: dict[int, ModuleProxy] = {}
        for name, module in list(sys.modules.items()):
            spec = get_module_spec(module)
            if spec is not None and self._has(name, spec):
                self.first.adopt(name, module)
                stand_ins[id(module)] = ModuleProxy(
                    ModuleProxySpec(spec, ModuleProxyLoader(spec.loader, self.first)), self.first
                )
        for name, module in list(sys.modules.items()):
            if name not in NEVER_COPIED and (stand_in := stand_ins.get(id(module))) is not None:
                sys.modules[name] = stand_in
        self._put_into_packages()

    def _put_into_packages(self) -> None:
        """Gives a package that is there once, in which the project has a part, what stands for that."""
        for name, module in list(sys.modules.items()):
            package, _, child = name.rpartition(".")
            holder = sys.modules.get(package)
            if type(module) is ModuleProxy and type(holder) is ModuleType:
                setattr(holder, child, module)

    def uninstall(self, project: Project) -> None:
        """Leaves one copy of a project's modules, the first, once nobody has any project installed."""
        with self._registry_lock:
            self._projects.remove(project)
            if self._projects:
                return
            self._import_system.restore()
            for name, module in list(sys.modules.items()):
                if type(module) is ModuleProxy:
                    self._restore(name, module)
            self.first.release()
            clear_thread_instances()

    def _restore(self, name: str, stand_in: ModuleProxy) -> None:
        """Leaves the first copy of a module, or nothing where another instance alone has imported it."""
        module = self.first.known(get_proxied_name(stand_in))
        package, _, child = name.rpartition(".")
        holder = sys.modules.get(package)
        if module is None:
            del sys.modules[name]
            return
        sys.modules[name] = module
        if type(holder) is ModuleType and vars(holder).get(child) is stand_in:
            setattr(holder, child, module)

    def _has(self, name: str, spec: ModuleSpec) -> bool:
        """Whether a module is to be there for each instance."""
        return any(project.has(name, spec) for project in list(self._projects))


def get_module_spec(module: ModuleType) -> ModuleSpec | None:
    """What a module was loaded by; nothing for a stand-in, and for what objects else there may be in its place."""
    try:
        spec = None if type(module) is ModuleProxy else module.__spec__
    except Exception:
        return None
    return spec if isinstance(spec, ModuleSpec) else None


registry = InstanceRegistry()
