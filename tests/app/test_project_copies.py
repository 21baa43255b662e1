"""What a project meets of which each thread has a copy: everything is its own, whoever asks by a module's name."""

import asyncio
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.loggers import server_messages
from support.probed_app import APP, THREADS, Probe, with_app
from support.waiting import DEADLINE

from threadserve.app.loading import AppLoader
from threadserve.errors import AppLoadError
from threadserve.instances.module_proxy import ModuleProxy


def test_the_prototypes_faults(project: Any, probe_all: Probe) -> None:
    """Routes that another module adds, late imports, the module by its name, and classes by theirs."""
    project.write("routes.py", "import main\nmain.app.routes.append('index')\nfrom main import App\n")
    project.write(
        "main.py",
        """
        import pickle, sys, typing, copy, dataclasses, inspect, importlib

        def plain(): pass

        class App:
            def __init__(self): self.routes = []
            async def __call__(self, scope, receive, send): pass
            def probe(self):
                from main import App as late
                import routes as late_routes
                module = sys.modules[__name__]
                return [
                    app.routes == ["index"],
                    late is App,
                    late_routes.App is App,
                    routes.App is App,
                    module.app is self,
                    pickle.loads(pickle.dumps(Item(1, None))) == Item(1, None),
                    copy.deepcopy(Item(1, None)) == Item(1, None),
                    typing.get_type_hints(Item)["item"].__args__[0] is Item,
                    importlib.import_module("main").Item is Item,
                    inspect.getmodule(Item).Item is Item,
                    inspect.getsource(plain).startswith("def plain"),
                    module.__dict__ is globals(),
                    vars(module) is globals(),
                    "Item" in dir(module),
                    module.__name__ == "main",
                    module.__file__ == __file__,
                ]

        @dataclasses.dataclass
        class Item:
            n: int
            item: "Item | None"

        app = App()
        import routes
        """,
    )
    assert probe_all(project.loader("main:app", threads=THREADS)) == [[True] * 16] * THREADS


def test_modules_are_kept_themselves_and_not_what_stands_for_them(project: Any, probe_all: Probe) -> None:
    """Attributes of a module are looked up in every request."""
    project.write("pkg/__init__.py")
    project.write("pkg/sub.py", "import main\n")
    project.write(
        "main.py",
        "import pkg.sub, pkg.sub as alias\nfrom pkg import sub\n"
        "def probe(): return [type(each).__name__ for each in (pkg, pkg.sub, alias, sub, sub.main)]\n" + APP,
    )
    assert probe_all(project.loader("main:app", threads=THREADS)) == [["module"] * 5] * THREADS


def test_attributes_of_a_module_that_is_named(project: Any, probe_all: Probe) -> None:
    project.write("settings.py", "debug = True\nextra = 1\n")
    source = """
    import importlib, sys, unittest.mock
    import settings

    def probe():
        module = sys.modules["settings"]
        module.debug = me = object()
        del module.extra
        seen = [settings.debug is me, hasattr(settings, "extra")]
        with unittest.mock.patch("settings.debug", "patched"):
            seen.append(settings.debug)
        seen.append(settings.debug is me)
        seen.append(importlib.reload(settings).debug)
        seen.append(importlib.reload(sys.modules["settings"]).debug)
        seen.append(settings.debug)
        return seen
    """
    project.write("main.py", with_app(source))
    expected = [True, False, "patched", True, True, True, True]
    assert probe_all(project.loader("main:app", threads=THREADS)) == [expected] * THREADS


def test_imported_only_while_it_serves(project: Any, probe_all: Probe) -> None:
    project.write("late/__init__.py", "from .inner import owner\n")
    project.write("late/inner.py", "import main\nowner = main.app\n")
    project.write("late/third.py", "import late\nowner = late.owner\n")
    source = """
    import threading
    def probe():
        import late
        import late.third
        from late import inner
        return [late.owner is app, inner.owner is app, late.third.owner is app]
    """
    project.write("main.py", with_app(source))
    assert probe_all(project.loader("main:app", threads=THREADS)) == [[True] * 3] * THREADS


def test_error_in_a_module_that_is_imported_only_while_it_serves(project: Any, probe_all: Probe) -> None:
    project.write("broken.py", "None.attribute\n")
    source = """
    def probe():
        errors = []
        for _ in range(2):
            try:
                import broken
            except Exception as error:
                errors.append(repr(error.__cause__ or error))
        return errors
    """
    project.write("main.py", with_app(source))
    expected = ["AttributeError(\"'NoneType' object has no attribute 'attribute'\")"] * 2
    assert probe_all(project.loader("main:app", threads=THREADS)) == [expected] * THREADS
    assert "broken" not in sys.modules


def test_late_module_that_can_be_executed_only_once_is_named(project: Any, probe_all: Probe) -> None:
    project.write("late.py", "from pathlib import Path\nPath('once').touch(exist_ok=False)\n")
    source = """
    import traceback
    from threadserve.app.hints import find_hint, find_hint_in_text

    def probe():
        try:
            import late
            late.Path
        except FileExistsError as error:
            return find_hint(error), find_hint_in_text(traceback.format_exc())
        return None, None
    """
    project.write("main.py", with_app(source))
    hints = probe_all(project.loader("main:app", threads=THREADS))
    assert len([each for each in hints if each == (None, None)]) == 1
    for each in hints:
        assert each == (None, None) or {"--app-shared late." in hint for hint in each} == {True}


def test_helper_threads_ask_for_who_started_them(project: Any, probe_all: Probe) -> None:
    """`pickle`, `typing` and the like ask on threads of executors, with and without a context."""
    source = """
    import asyncio, contextvars, pickle, threading
    import anyio.to_thread

    class Item: pass

    def pickled():
        return type(pickle.loads(pickle.dumps(Item()))) is Item

    def in_empty_context(dumps=pickle.dumps):
        return contextvars.Context().run(dumps, Item())

    def on_a_thread():
        result = []
        thread = threading.Thread(target=lambda: result.append(pickled()))
        thread.start()
        thread.join()
        return result[0]

    async def probe():
        loop = asyncio.get_running_loop()
        return [
            pickled(),
            on_a_thread(),
            await asyncio.to_thread(pickled),
            await asyncio.to_thread(on_a_thread),
            await loop.run_in_executor(None, pickled),
            await anyio.to_thread.run_sync(pickled),
            bool(in_empty_context()),
        ]
    """
    project.write("main.py", with_app(source))
    assert probe_all(project.loader("main:app", threads=THREADS)) == [[True] * 7] * THREADS


def test_process_pool(project: Any, probe_all: Probe) -> None:
    """Its feeder, a thread without the application's context, pickles functions by their names."""
    project.write("jobs.py", "def double(n):\n    return 2 * n\n")
    source = """
    import asyncio, concurrent.futures, multiprocessing
    import jobs

    async def probe():
        spawn = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
            return await asyncio.get_running_loop().run_in_executor(pool, jobs.double, 21)
    """
    project.write("main.py", with_app(source))
    assert probe_all(project.loader("main:app", threads=THREADS)) == [42] * THREADS


def test_namespace_package(project: Any, probe_all: Probe) -> None:
    project.write("space/inside/views.py", "import main\nowner = main.app\n")
    project.write(
        "main.py", "def probe(): return space.inside.views.owner is app\n" + APP + "import space.inside.views\n"
    )
    assert probe_all(project.loader("main:app", threads=THREADS)) == [True] * THREADS


def test_module_that_puts_something_else_in_its_place(project: Any, probe_all: Probe) -> None:
    project.write(
        "lazy.py",
        """
        import sys, types
        class Lazy(types.ModuleType):
            def __getattr__(self, name):
                if name.startswith("__"):
                    raise AttributeError(name)
                return name, id(self)
        lazy = Lazy(__name__)
        lazy.__file__ = __file__
        lazy.__spec__ = __spec__
        sys.modules[__name__] = lazy
        """,
    )
    project.write("main.py", "import lazy\ndef probe(): return lazy.thing\n" + APP)
    seen = probe_all(project.loader("main:app", threads=THREADS))
    assert [name for name, _ in seen] == ["thing"] * THREADS
    assert len(set(seen)) == THREADS


def test_program_sees_the_first(project: Any, probe_all: Probe) -> None:
    project.write("counter.py", "import itertools\nnext_number = itertools.count(1).__next__\n")
    project.write("main.py", "import counter\ndef probe(): return counter.next_number()\n" + APP)
    loader = project.loader("main:app", threads=THREADS)
    assert probe_all(loader) == [1] * THREADS
    assert type(sys.modules["counter"]) is ModuleProxy
    assert sys.modules["counter"].next_number() == 2
    loader.stop(DEADLINE)
    project.loaders.remove(loader)
    assert type(sys.modules["counter"]) is not ModuleProxy
    assert sys.modules["counter"].next_number() == 3


def test_two_servers_in_one_program(project: Any, probe_all: Probe) -> None:
    project.write("counter.py", "import itertools\nnext_number = itertools.count(1).__next__\n")
    for name in ("one", "two"):
        project.write(f"{name}.py", "import counter\ndef probe(): return counter.next_number()\n" + APP)
    first, second = project.loader("one:app", threads=THREADS), project.loader("two:app", threads=THREADS)
    assert probe_all(first) == [1] * THREADS
    assert sorted(probe_all(second)) == [1, 1, 2], "both have what was imported first"
    first.stop(DEADLINE)
    project.loaders.remove(first)
    assert type(sys.modules["counter"]) is ModuleProxy


def test_restores_what_it_changed(project: Any, probe_all: Probe) -> None:
    before = threading.Thread.start, list(sys.meta_path)
    project.write("main.py", "def probe(): return 1\n" + APP)
    loader = project.loader("main:app", threads=THREADS)
    probe_all(loader)
    assert threading.Thread.start is not before[0]
    loader.stop(DEADLINE)
    project.loaders.remove(loader)
    assert (threading.Thread.start, sys.meta_path) == before


class TestInOneCopy:
    """What registers itself in a library."""

    REGISTERS = "import library\nlibrary.register('hero')\n"

    @pytest.fixture(autouse=True)
    def library(self, project: Any) -> None:
        """A library that refuses a name that it has."""
        project.write(
            "vendor/library.py",
            """
            names = []
            def register(name):
                if name in names: raise ValueError(f"{name} is already\\ndefined")
                names.append(name)
            """,
        )
        project.write("vendor/library-1.dist-info/RECORD", "library.py,,\n")
        sys.path.insert(0, str(project.folder / "vendor"))

    def test_is_named_with_the_remedy(self, project: Any, load: Callable[..., Any]) -> None:
        project.write("models.py", self.REGISTERS)
        project.write("main.py", "import models\n" + APP)
        loader = project.loader("main:app")
        load(loader)
        with pytest.raises(AppLoadError) as caught:
            load(loader)
        assert isinstance(caught.value.__cause__, ValueError)
        assert str(caught.value) == (
            "main:app cannot be loaded once per thread: the module models can be executed only once (ValueError: hero "
            "is already). Keep it in one copy with --app-shared models; or share the whole application with "
            "--app-instance shared: what it makes for one event loop then fails on others"
        )

    def test_is_named_with_those_that_are_in_one_copy_already(self, project: Any, load: Callable[..., Any]) -> None:
        project.write("models.py", self.REGISTERS)
        project.write("metrics.py", self.REGISTERS.replace("hero", "counter"))
        project.write("main.py", "import metrics, models\n" + APP)
        loader = project.loader("main:app", app_shared=["metrics"])
        load(loader)
        with pytest.raises(AppLoadError, match=r"in one copy with --app-shared metrics --app-shared models; or"):
            load(loader)

    @pytest.mark.parametrize(
        "source", [REGISTERS + APP, "def create_app():\n    from library import register; register('x')\n" + APP]
    )
    def test_in_the_module_of_the_application(self, project: Any, load: Callable[..., Any], source: str) -> None:
        project.write("main.py", source.replace("app = App()", "app = App()\n"))
        app = "main:create_app" if "create_app" in source else "main:app"
        if "create_app" in source:
            project.write("main.py", source.replace("register('x')\n", "register('x'); return app\n"))
        loaded = project.loader(app, factory="create_app" in source)
        load(loaded)
        with pytest.raises(
            AppLoadError, match=r"^\S+ cannot be loaded once per thread: ValueError: \w+ is already\. Move"
        ):
            load(loaded)

    def test_named_modules_are_there_once(self, project: Any, probe_all: Probe) -> None:
        project.write("models/__init__.py", "from .hero import Hero\n")
        project.write("models/hero.py", "import base\n" + self.REGISTERS + "class Hero(base.Base): pass\n")
        project.write("base.py", "class Base: pass\n")
        project.write("main.py", "import models\ndef probe(): return models.Hero, models.hero.Hero, App\n" + APP)
        seen = probe_all(project.loader("main:app", threads=THREADS, app_shared=["models"]))
        assert len({hero for hero, _, _ in seen} | {hero for _, hero, _ in seen}) == 1
        assert len({app for _, _, app in seen}) == THREADS

    @pytest.mark.parametrize(
        ("name", "line"),
        [
            ("model", "--app-shared: there is no module 'model'; did you mean models?"),
            ("models.hero", "--app-shared: there is no module 'models.hero'; did you mean models?"),
            ("nothing_like_it_at_all", "--app-shared: there is no module 'nothing_like_it_at_all'"),
        ],
    )
    def test_name_that_no_module_has(self, project: Any, load: Callable[..., Any], name: str, line: str) -> None:
        project.write("models.py", self.REGISTERS)
        project.write("main.py", "import models\n" + APP)
        with pytest.raises(AppLoadError) as caught:
            load(project.loader("main:app", app_shared=[name]))
        assert str(caught.value) == line

    @pytest.mark.parametrize("own", [False, True])
    def test_framework_that_keeps_an_applications_code_itself(
        self, project: Any, load: Callable[..., Any], caplog: pytest.LogCaptureFixture, own: bool
    ) -> None:
        """As long as the application is content with the framework's default router."""
        project.write(
            "vendor/framework.py",
            """
            class Router:
                def __init__(self): self.routes = {}
                def get(self, path): return lambda view: self.routes.setdefault(path, [view]) and view
            default_router = Router()
            settings = Router()
            class Application:
                def __init__(self, router=None): self.router, self.settings = router or default_router, settings
                async def __call__(self, scope, receive, send): pass
            """,
        )
        project.write("vendor/framework-1.dist-info/RECORD", "framework.py,,\n")
        router = "Router()" if own else ""
        project.write(
            "main.py",
            f"""
            from framework import Application, Router
            app = Application({router})
            @app.router.get("/")
            async def index(): pass
            """,
        )
        loader = project.loader("main:app")
        with caplog.at_level(logging.WARNING):
            first, second = load(loader), load(loader)
        assert (first is second) is not own
        reason = "its code is registered in framework.default_router, of which there is one"
        assert loader.sharing_reason == ("" if own else reason)
        assert server_messages(caplog) == ([] if own else [f"main:app is shared by all 2 threads, because {reason}."])

    def test_everything_is_undone(self, project: Any, load: Callable[..., Any]) -> None:
        project.write("models.py", self.REGISTERS)
        project.write("main.py", "import logging\nimport models\n" + APP)
        loader = project.loader("main:app")
        first: Any = load(loader)
        with pytest.raises(AppLoadError):
            load(loader)
        loader.stop(DEADLINE)
        project.loaders.remove(loader)
        assert sys.modules["main"].app is first
        assert not [name for name, module in sys.modules.items() if type(module) is ModuleProxy]


def test_successor_of_a_dead_thread(project: Any, load: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    project.write("main.py", "import asyncio\nlock = asyncio.Lock()\ndef probe(): return lock\n" + APP)
    loader = project.loader("main:app", threads=2)
    with caplog.at_level(logging.WARNING):
        apps = [asyncio.run(_load(loader, number)) for number in (1, 2, 2, 1)]
    assert len({id(app.probe()) for app in apps}) == 4
    assert server_messages(caplog) == []


async def _load(loader: AppLoader, number: int) -> Any:
    return loader.load_threadsafe(number)
