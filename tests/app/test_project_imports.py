"""The language's own ways to modules, in a project of which each thread has a copy: as if it were the only one."""

import _thread
import importlib.util
import shutil
import sys
import threading
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from typing import Any

import pytest
from support.probed_app import APP, THREADS, Probe, with_app
from support.waiting import DEADLINE, wait_until

from threadserve.instances import instance
from threadserve.instances.current_instance import instances_by_globals
from threadserve.instances.import_hooks import ModuleProxyLoader
from threadserve.instances.instance import Instance
from threadserve.instances.module_proxy import ModuleProxy
from threadserve.instances.registry import registry


def check(project: Any, probe_all: Probe, source: str, expected: Any) -> None:
    """`probe` in this main module returns that on each thread."""
    project.write("main.py", source + APP)
    assert probe_all(project.loader("main:app", threads=THREADS)) == [expected] * THREADS


def test_module_is_found_before_it_is_imported(project: Any, probe_all: Probe) -> None:
    project.write("late/__init__.py", "import main\nmain.imported.append(__name__)\n")
    project.write("late/sub.py", "x = 1\n")
    project.write("late/data.txt", "data")
    source = """
import importlib.resources, importlib.util, pkgutil, sys, threading

imported = []
def probe():
    spec = importlib.util.find_spec("late")
    seen = [spec.name, spec.origin.endswith("__init__.py"), list(spec.submodule_search_locations) != [], imported[:]]
    inner = importlib.util.find_spec("late.sub")
    seen += [inner.loader.get_source("late.sub"), imported[:]]
    seen += [pkgutil.get_data("late", "data.txt"), importlib.resources.files("late").joinpath("data.txt").read_text()]
    return seen
"""
    check(project, probe_all, source, ["late", True, True, [], "x = 1\n", ["late"], b"data", "data"])


def test_run_as_programs_are(project: Any, probe_all: Probe) -> None:
    project.write("jobs/__init__.py")
    project.write("jobs/daily.py", "import main\nowner, name = main.app, __name__\n")
    source = """
import runpy
def probe():
    module = runpy.run_module("jobs.daily", run_name="__main__")
    file = runpy.run_path(__file__.replace("main.py", "jobs/daily.py"))
    return [module["owner"] is app, module["name"], file["owner"] is app]
"""
    check(project, probe_all, source, [True, "__main__", True])


def test_discovery_of_plugins(project: Any, probe_all: Probe) -> None:
    project.write("plugins/__init__.py")
    project.write("plugins/a.py", "import main\nowner = main.app\n")
    project.write("plugins/inner/__init__.py")
    project.write("plugins/inner/b.py", "from ..a import owner\n")
    source = """
import importlib, pkgutil, sys, types
import plugins

def probe():
    names = [found.name for found in pkgutil.walk_packages(plugins.__path__, "plugins.")]
    loaded = [importlib.import_module(name) for name in names]
    listed = [m for name, m in list(sys.modules.items()) if name.startswith("plugins.") and hasattr(m, "owner")]
    return [
        names,
        [m.owner is app for m in loaded if hasattr(m, "owner")],
        [m.owner is app for m in listed],
        importlib.import_module(".inner.b", "plugins").owner is app,
        pkgutil.resolve_name("plugins.inner.b:owner") is app,
        all(isinstance(m, types.ModuleType) for m in listed),
    ]
"""
    names = ["plugins.a", "plugins.inner", "plugins.inner.b"]
    check(project, probe_all, source, [names, [True] * 2, [True] * 2, True, True, True])


def test_module_of_another_instance_alone_is_not_executed_for_a_look(project: Any, probe_all: Probe) -> None:
    """As `unittest` and `inspect` look through `sys.modules`."""
    project.write("late.py", "import main\nmain.executed.append(1)\n")
    project.write("turns.py", f"import threading\nbarrier = threading.Barrier({THREADS})\n")
    source = """
import inspect, sys, turns
executed = []
def probe():
    mine = turns.barrier.wait(30) == 0
    if mine:
        import late
    turns.barrier.wait(30)
    for module in list(sys.modules.values()):
        getattr(module, "__warningregistry__", None)
        getattr(module, "__file__", None)
    inspect.getmodule(probe)
    return len(executed) == mine, "late" in sys.modules
"""
    project.write("main.py", source + APP)
    loaded = project.loader("main:app", threads=THREADS, app_shared="turns")
    assert probe_all(loaded) == [(True, True)] * THREADS


def test_imported_by_hand(project: Any, probe_all: Probe) -> None:
    """By the recipes in the documentation of `importlib`: at once, lazily, and from a file."""
    for name in ("direct", "lazy", "direct_file"):
        project.write(f"{name}.py", "import main\nowner = main.app\n")
    source = """
import importlib.util, sys

def imported(name, make_loader=lambda loader: loader):
    spec = importlib.util.find_spec(name)
    loader = spec.loader = make_loader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    return module

def from_file(name):
    spec = importlib.util.spec_from_file_location(name, __file__.replace("main", name))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

def probe():
    modules = imported("direct"), imported("lazy", importlib.util.LazyLoader), from_file("direct_file")
    return [module.owner is app for module in modules]
"""
    check(project, probe_all, source, [True] * 3)


def test_module_equals_what_stands_for_it(project: Any, probe_all: Probe) -> None:
    project.write("conf.py")
    source = """
import inspect, sys
import conf
def probe():
    import late
    stands = sys.modules["conf"]
    return [
        stands == conf == stands,
        stands != sys.modules["late"],
        conf in list(sys.modules.values()),
        {conf: 1}[stands] == {stands: 1}[conf] == 1,
        inspect.getmodule(probe) == sys.modules[__name__],
        late in {sys.modules["late"]},
        stands != None,
    ]
"""
    project.write("late.py")
    check(project, probe_all, source, [True] * 7)


def test_taken_out_of_sys_modules_and_imported_again(project: Any, probe_all: Probe) -> None:
    """On one thread after the other: there is one `sys.modules`."""
    project.write("pkg/__init__.py")
    project.write("pkg/state.py", "seen = []\n")
    project.write("turns.py", "import threading\nlock = threading.Lock()\n")
    source = """
import sys, turns
import pkg.state as before
def probe():
    before.seen.append(1)
    with turns.lock:
        del sys.modules["pkg.state"]
        import pkg.state as after
        after.seen.append(2)
        import pkg.state as again
        return before.seen, after.seen, again.seen, sys.modules["pkg.state"].seen
"""
    project.write("main.py", source + APP)
    seen = probe_all(project.loader("main:app", threads=THREADS, app_shared="turns"))
    assert seen == [([1], [2], [2], [2])] * THREADS


def test_other_names_for_a_module(project: Any, probe_all: Probe) -> None:
    project.write("real.py", "seen = []\n")
    project.write("late.py", "import sys\nsys.modules['late_alias'] = sys.modules[__name__]\nseen = []\n")
    source = """
import sys
import real
sys.modules["alias"] = real
def probe():
    import alias, late, late_alias
    return alias.seen is real.seen, late_alias.seen is late.seen
"""
    check(project, probe_all, source, (True, True))
    project.loaders.pop().stop(DEADLINE)
    assert not [name for name, module in sys.modules.items() if type(module) is ModuleProxy]
    assert sys.modules["alias"] is sys.modules["real"]
    assert instances_by_globals == {}


def test_class_of_a_module(project: Any, probe_all: Probe) -> None:
    properties = """
import sys, types
class Properties(types.ModuleType):
    @property
    def value(self): return self.__dict__["_value"]
    @value.setter
    def value(self, value): self.__dict__["_value"] = value
_value = own = object()
sys.modules[__name__].__class__ = Properties
"""
    project.write("early.py", properties)
    project.write("late.py", properties)
    source = """
import sys, early
def probe():
    import late
    seen = [module.value is module.own for module in (early, late)]
    sys.modules["early"].value = sys.modules["late"].value = new = object()
    return seen, [module.value is new for module in (early, late)], type(early).__name__
"""
    check(project, probe_all, source, ([True, True], [True, True], "Properties"))


def test_attributes_that_a_module_makes(project: Any, probe_all: Probe) -> None:
    project.write(
        "lazy.py",
        "import main\n__all__ = ['a']\na = object()\nb = 1\n"
        "def __getattr__(name):\n    if name == 'app': return main.app\n    raise AttributeError(name)\n",
    )
    source = """
import sys
import lazy
from lazy import *
def probe():
    scope = {}
    exec("from lazy import *", scope)
    return lazy.app is app, sys.modules["lazy"].app is app, scope["a"] is a is lazy.a, "b" in globals()
"""
    check(project, probe_all, source, (True, True, True, False))


def test_what_is_not_there_is_named_as_ever(project: Any, probe_all: Probe) -> None:
    project.write("late.py")
    source = """
def probe():
    messages = []
    for code in ("from late import missing", "import late; late.missing", "import late.missing", "import missing"):
        try:
            exec(code, {})
        except Exception as error:
            messages.append(f"{type(error).__name__}: {error}".replace(__file__.replace("main", "late"), "FILE"))
    return messages
"""
    expected = [
        "ImportError: cannot import name 'missing' from 'late' (FILE)",
        "AttributeError: module 'late' has no attribute 'missing'",
        "ModuleNotFoundError: No module named 'late.missing'; 'late' is not a package",
        "ModuleNotFoundError: No module named 'missing'",
    ]
    check(project, probe_all, source, expected)


def test_traceback_shows_the_modules_and_not_what_loads_them(project: Any, probe_all: Probe) -> None:
    project.write("outer.py", "\nimport inner\n")
    project.write("inner.py", "\n\nraise ValueError\n")
    source = """
import traceback
def probe():
    try:
        import outer
    except ValueError as error:
        seen = [(frame.filename.rpartition("/")[2], frame.lineno, frame.line) for frame in
                traceback.extract_tb(error.__traceback__)]
        return [seen[0], *seen[-2:], sum("/instances/" in frame.filename for frame in
                traceback.extract_tb(error.__traceback__)) <= 4]
"""
    expected = [
        ("main.py", 5, "import outer"),
        ("outer.py", 2, "import inner"),
        ("inner.py", 3, "raise ValueError"),
        True,
    ]
    check(project, probe_all, source, expected)


def test_failure_in_one_instance_alone(project: Any, probe_all: Probe) -> None:
    """What an import raises is what the module has raised, and the application may go on with something else."""
    project.write("once.py", "import library\nlibrary.first_time()\nvalue = 'once'\n")
    project.write(
        "library.py", "times = []\ndef first_time():\n    times.append(1)\n    None if len(times) == 1 else None.x\n"
    )
    source = """
try:
    import once
except AttributeError:
    once = None
try:
    from once import value
except AttributeError:
    value = None
def probe(): return getattr(once, "value", None), value
"""
    project.write("main.py", source + APP)
    loaded = project.loader("main:app", threads=THREADS, app_shared="library")
    assert sorted(probe_all(loaded), key=str) == [("once", "once")] + [(None, None)] * (THREADS - 1)


def test_threads_that_were_not_started_by_threading(project: Any, probe_all: Probe) -> None:
    """Those of C, without a frame of Python, and those of `_thread`; neither knows whose they are."""
    source = """
import _thread, pickle, sys, threading
class Item: pass
class Settable: pass

def probe():
    pickled, seen, done = pickle.dumps(Item), [], threading.Event()
    def ask():
        import main
        seen.extend([pickle.loads(pickled) is Item, main.Item is Item, sys.modules["main"].Item is Item])
        done.set()
    _thread.start_new_thread(ask, ())
    done.wait(30)
    return seen
"""
    check(project, probe_all, source, [True] * 3)


def test_asked_without_any_frame_of_python(project: Any, probe_all: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a thread of C, which belongs to no instance."""
    project.write("main.py", "def probe(): return 1\n" + APP)
    probe_all(project.loader("main:app", threads=THREADS))
    failures: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", failures.append)
    _thread.start_new_thread(setattr, (sys.modules["main"], "been_here", True))
    first = registry.first.find_copy("main")
    wait_until(lambda: failures or hasattr(first, "been_here"), "the thread to ask")
    assert failures == []


def test_executor_of_a_library(project: Any, probe_all: Probe) -> None:
    """Its threads are those of whoever came first; what they are given to do asks on behalf of who gave it."""
    project.write("library.py", "import concurrent.futures\npool = concurrent.futures.ThreadPoolExecutor(1)\n")
    source = """
import asyncio, pickle
import library
class Item: pass
async def probe():
    pickled = pickle.dumps(Item)
    first = library.pool.submit(pickle.loads, pickled).result() is Item
    return first, await asyncio.get_running_loop().run_in_executor(library.pool, pickle.dumps, Item) == pickled
"""
    project.write("main.py", source + APP)
    loaded = project.loader("main:app", threads=THREADS, app_shared="library")
    try:
        assert probe_all(loaded) == [(True, True)] * THREADS
    finally:
        sys.modules["library"].pool.shutdown()


def test_part_of_a_namespace_that_libraries_share(project: Any, probe_all: Probe) -> None:
    for name in ("app", "late"):
        project.write(f"space/{name}/__init__.py", "kept = []\n")
    project.write("site-packages/space/library/__init__.py", "kept = []\n")
    source = """
    import sys
    sys.path.append(__file__.replace("space/app/main.py", "site-packages"))
    import space.app, space.library
    def probe():
        import space.late
        parts = [(module.app, module.late, module.library) for module in (space, sys.modules["space"])]
        return [[id(part.kept) for part in each] for each in parts]
    """
    project.write("space/app/main.py", with_app(source))
    seen = probe_all(project.loader("space.app.main:app", threads=THREADS))
    assert all(direct == named for direct, named in seen)
    assert [len({direct[number] for direct, _ in seen}) for number in range(3)] == [THREADS, THREADS, 1]


def test_part_that_is_taken_from_such_a_namespace(project: Any, probe_all: Probe) -> None:
    """The namespace has it as an attribute since the first instance imported it, so that no other imports it."""
    project.write("space/part.py", "kept = []\n")
    project.write("site-packages/space/library/__init__.py", "kept = []\n")
    project.write(
        "main.py", "from space import library, part\ndef probe(): return id(library.kept), id(part.kept)\n" + APP
    )
    sys.path.append(str(project.folder / "site-packages"))
    seen = probe_all(project.loader("main:app", threads=THREADS))
    assert [len(set(each)) for each in zip(*seen, strict=True)] == [1, THREADS]


@pytest.mark.parametrize("kind", ["kept in one copy", "compiled"])
def test_module_that_is_there_once_in_a_package_that_is_not(project: Any, probe_all: Probe, kind: str) -> None:
    """Imported by a request, and found as the package's attribute by all."""
    project.write("pkg/__init__.py")
    project.write("main.py", "import pkg\ndef probe():\n    import pkg._bisect\n    return id(pkg._bisect)\n" + APP)
    extension = importlib.util.find_spec("_bisect")
    if kind == "kept in one copy":
        project.write("pkg/_bisect.py")
    elif extension is not None and extension.has_location:
        assert extension.origin
        shutil.copy(extension.origin, project.folder / "pkg")
    else:
        pytest.skip("this build of Python has no extension modules in files")
    shared = "pkg._bisect" if kind == "kept in one copy" else None
    assert len(set(probe_all(project.loader("main:app", threads=THREADS, app_shared=shared)))) == 1


def test_many_threads_import_modules_that_import_each_other(project: Any, probe_all: Probe) -> None:
    """No instance waits for another's import, and nobody sees the half of a module."""
    source = """
import importlib, threading
ROUNDS = 4
ORDERS = [("a", "b"), ("b", "a"), ("c", "a", "b"), ("b",)]

def probe():
    wrong, threads = [], []
    barrier = threading.Barrier(len(ORDERS))
    def run(order):
        for number in range(ROUNDS):
            barrier.wait(30)
            for name in order:
                try:
                    module = importlib.import_module(f"{name}{number}") if name != "b" else __import__(f"b{number}")
                    if not (module.owner is app and module.is_whole):
                        wrong.append(module)
                except BaseException as error:
                    wrong.append(error)
    for order in ORDERS:
        threads.append(threading.Thread(target=run, args=(order,), daemon=True))
        threads[-1].start()
    for thread in threads:
        thread.join(30)
        if thread.is_alive(): wrong.append("stuck")
    return wrong
"""
    for number in range(4):
        pause = "import time; time.sleep(0.001)\n" * (number % 2)
        for name, others in {"a": "bc", "b": "ca", "c": "a"}.items():
            imports = "".join(f"{pause}import {other}{number}\n" for other in others)
            project.write(f"{name}{number}.py", f"import main\nowner = main.app\n{imports}is_whole = True\n")
    check(project, probe_all, source, [])


def test_two_threads_of_an_instance_import_a_module_at_once(
    project: Any, probe_all: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has seen that nobody has imported it, and goes on when the other has imported it if it may."""
    project.write(
        "turns.py", f"from threading import *\nbarrier, arrived, imported = Barrier({THREADS}), Event(), Event()\n"
    )
    forget = Instance.forget_copy

    def forget_late(self: Instance, name: str) -> None:
        if threading.current_thread().name == "late":
            sys.modules["turns"].arrived.set()
            sys.modules["turns"].imported.wait(0.5)
        forget(self, name)

    monkeypatch.setattr(Instance, "forget_copy", forget_late)
    project.write("part.py", "import main\nmain.executed.append(1)\n")
    source = """
import threading, turns
executed = []
def probe():
    if turns.barrier.wait(30):
        return executed
    def run():
        import part
    thread = threading.Thread(target=run, name="late")
    thread.start()
    turns.arrived.wait(30)
    import part
    turns.imported.set()
    thread.join(30)
    return executed
"""
    project.write("main.py", source + APP)
    seen = probe_all(project.loader("main:app", threads=THREADS, app_shared="turns"))
    assert sorted(seen) == [[]] * (THREADS - 1) + [[1]]


def test_many_threads_import_modules_that_fail(project: Any, probe_all: Probe) -> None:
    """Every import raises what its module has raised, also where that of another instance has just failed."""
    for number in range(20):
        project.write(f"broken{number}.py", "None.attribute\n")
    source = """
import importlib
def probe():
    errors = set()
    for number in range(20):
        for how in (importlib.import_module, __import__, lambda name: exec(f"import {name}")):
            try:
                how(f"broken{number}")
                errors.add("none")
            except Exception as error:
                errors.add(repr(error))
    return errors
"""
    check(project, probe_all, source, {"AttributeError(\"'NoneType' object has no attribute 'attribute'\")"})


def test_module_fails_for_an_instance_while_another_finds_it(
    project: Any, probe_all: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has failed is taken out of `sys.modules`, but not from under an import that has just put it there."""
    project.write(
        "turns.py", f"from threading import *\nbarrier, found, failed = Barrier({THREADS}), Event(), Event()\n"
    )
    load = ModuleProxyLoader.exec_module

    def load_late(self: ModuleProxyLoader, module: Any) -> None:
        if self.name == "broken":
            sys.modules["turns"].found.set()
            sys.modules["turns"].failed.wait(0.5)
        load(self, module)

    monkeypatch.setattr(ModuleProxyLoader, "exec_module", load_late)
    project.write("broken.py", "None.attribute\n")
    source = """
import turns
def probe():
    is_first = turns.barrier.wait(30) == 0
    if not is_first:
        turns.found.wait(30)
    try:
        import broken
    except Exception as error:
        if not is_first:
            turns.failed.set()
        return repr(error)
"""
    project.write("main.py", source + APP)
    seen = probe_all(project.loader("main:app", threads=THREADS, app_shared="turns"))
    assert seen == ["AttributeError(\"'NoneType' object has no attribute 'attribute'\")"] * THREADS


def test_module_fails_for_an_instance_that_began_before_it_was_dropped(
    project: Any, probe_all: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who fails last takes it out of `sys.modules`, also where another instance has put it there anew meanwhile."""
    events = "held, dropped, executing, adopted, failed"
    project.write(
        "turns.py",
        f"""
from threading import *
barrier, executions, EVENTS = Barrier({THREADS}), [], tuple(Event() for _ in range(5))
{events} = EVENTS
def execute():
    executions.append(None)
    if len(executions) == 2:
        executing.set()
        adopted.wait({DEADLINE})
    elif len(executions) == 3:
        adopted.set()
        failed.wait({DEADLINE})
""",
    )
    search = instance.search_path

    def search_late(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
        turns: Any = sys.modules["turns"]
        if name == "broken" and not turns.held.is_set():
            turns.held.set()
            turns.executing.wait(DEADLINE)
        return search(name, path)

    monkeypatch.setattr(instance, "search_path", search_late)
    project.write("broken.py", "import turns\nturns.execute()\nNone.attribute\n")
    source = f"""
import turns
def probe():
    number = turns.barrier.wait({DEADLINE})
    begins, ends = [(None, None), (turns.held, turns.dropped), (turns.dropped, turns.failed)][number]
    assert begins is None or begins.wait({DEADLINE})
    try:
        import broken
    except AttributeError:
        if ends is not None:
            ends.set()
    return [event.is_set() for event in turns.EVENTS]
"""
    project.write("main.py", source + APP)
    seen = probe_all(project.loader("main:app", threads=THREADS, app_shared="turns"))
    assert [True] * 5 in seen
    assert "broken" not in sys.modules
