"""The registry of the projects that have copies, installed into the import system while they are served.

Any thread may install and uninstall a project, under the registry's lock. It owns the first copies, which are the
modules as they were imported, and the proxies in `sys.modules`.
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
    """The installed projects, their first copies and their proxies."""

    def __init__(self) -> None:
        self.first = Instance()
        self._registry_lock = threading.RLock()
        self._projects: list[Project] = []
        self._import_hooks = ImportHooks(self.first, self._is_project_module)

    def install(self, project: Project) -> None:
        """Let each instance have copies of a project's modules, including those imported later.

        Modules imported so far belong to the first instance, which code that belongs to no instance uses too.
        """
        with self._registry_lock:
            if not self._projects:
                self.first = Instance()
                self._import_hooks = ImportHooks(self.first, self._is_project_module)
                self._import_hooks.install()
            self._projects.append(project)
            self._install_proxies()

    def _install_proxies(self) -> None:
        """Replace the imported modules by proxies, under all the names that they have."""
        proxies: dict[int, ModuleProxy] = {}
        for name, module in sys.modules.copy().items():
            spec = get_module_spec(module)
            if spec is not None and self._is_project_module(name, spec):
                self.first.add_copy(name, module)
                proxies[id(module)] = ModuleProxy(
                    ModuleProxySpec(spec, ModuleProxyLoader(spec.loader, self.first)), self.first
                )
        for name, module in sys.modules.copy().items():
            if name not in NEVER_COPIED and (proxy := proxies.get(id(module))) is not None:
                sys.modules[name] = proxy
        self._set_on_packages()

    def _set_on_packages(self) -> None:
        """Set the proxies on packages that exist once but contain a part of the project."""
        for name, module in sys.modules.copy().items():
            package, _, child = name.rpartition(".")
            holder = sys.modules.get(package)
            if type(module) is ModuleProxy and type(holder) is ModuleType:
                setattr(holder, child, module)

    def uninstall(self, project: Project) -> None:
        """Uninstall a project. When none is left, the modules in `sys.modules` are the first copies again."""
        with self._registry_lock:
            self._projects.remove(project)
            if self._projects:
                return
            self._import_hooks.uninstall()
            for name, module in sys.modules.copy().items():
                if type(module) is ModuleProxy:
                    self._restore(name, module)
            self.first.release()
            clear_thread_instances()

    def _restore(self, name: str, proxy: ModuleProxy) -> None:
        """Put back the first copy of a module, or nothing if only another instance has imported it."""
        module = self.first.find_copy(get_proxied_name(proxy))
        package, _, child = name.rpartition(".")
        holder = sys.modules.get(package)
        if module is None:
            del sys.modules[name]
            return
        sys.modules[name] = module
        if type(holder) is ModuleType and vars(holder).get(child) is proxy:
            setattr(holder, child, module)

    def _is_project_module(self, name: str, spec: ModuleSpec) -> bool:
        """Return whether each instance has its own copy of a module."""
        return any(project.contains(name, spec) for project in list(self._projects))


def get_module_spec(module: object) -> ModuleSpec | None:
    """Return the spec of a module; None for a proxy, and for other objects in the place of a module."""
    try:
        spec = None if type(module) is ModuleProxy else getattr(module, "__spec__", None)
    except Exception:
        return None
    return spec if isinstance(spec, ModuleSpec) else None


registry = InstanceRegistry()
