"""How many instances of an application there are, and that each thread gets its own."""

import asyncio
import importlib
import logging
import sys
import threading
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from typing import Any

import pytest
from support.loggers import server_messages
from support.waiting import DEADLINE

from threadserve.app.asgi2 import ASGI2Adapter
from threadserve.errors import AppImportFailed, AppLoadError
from threadserve.wsgi.middleware import WSGIMiddleware

MODULE = """
    import helpers

    class App:
        async def __call__(self, scope, receive, send): pass

    app = App()
"""
FACTORY = (
    MODULE
    + """
    def create_app():
        return App()
"""
)
Loads = Callable[..., Any]


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """An application given as an object."""


class OldHello:
    """An ASGI 2 application."""

    def __init__(self, scope: Any) -> None: ...


@pytest.fixture
def module(project: Any) -> None:
    """An application in main:app, with a factory main:create_app, that imports another module."""
    project.write("helpers.py", "shared = object()")
    project.write("main.py", FACTORY)


def distinct(results: list[Any]) -> int:
    """How many different objects these are; fails if one is an error."""
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return len({id(result) for result in results})


@pytest.mark.usefixtures("module")
class TestPerThread:
    """--app-instance thread, the default."""

    def test_module_is_executed_for_each_thread(self, project: Any, load_on_threads: Loads) -> None:
        loader = project.loader("main:app", threads=4)
        assert distinct(load_on_threads(loader, 4)) == 4
        assert loader.instance_count == 4
        assert loader.interface == "asgi3"

    def test_first_module_stays(self, project: Any, load: Loads) -> None:
        loader = project.loader("main:app")
        first, second = load(loader), load(loader)
        assert type(second) is not type(first)
        loader.stop(DEADLINE)
        project.loaders.remove(loader)
        assert sys.modules["main"].app is first

    def test_imported_modules_are_executed_for_each_thread(self, project: Any, load: Loads) -> None:
        project.write("main.py", MODULE + "    app.shared = helpers.shared\n")
        loader = project.loader("main:app")
        assert load(loader).shared is not load(loader).shared

    def test_libraries_are_there_once(self, project: Any, load: Loads) -> None:
        project.write("main.py", MODULE + "    import httpx\n    app.httpx = httpx\n")
        loader = project.loader("main:app")
        assert load(loader).httpx is load(loader).httpx

    def test_replacement_for_a_dead_thread_gets_a_new_one(self, project: Any, load: Loads) -> None:
        loader = project.loader("main:app", threads=2)
        assert distinct([load(loader) for _ in range(3)]) == 3
        assert loader.instance_count == 2

    def test_one_thread_has_one_instance(self, project: Any, load: Loads) -> None:
        loader = project.loader("main:app", threads=1)
        assert distinct([load(loader), load(loader)]) == 1
        assert loader.instance_count == 1

    def test_factory_is_called_for_each_thread(self, project: Any, load_on_threads: Loads) -> None:
        loader = project.loader("main:create_app", factory=True, threads=4)
        results = load_on_threads(loader, 4)
        assert distinct(results) == 4
        assert len({type(result) for result in results}) == 4, "each calls that of its own copy"
        assert loader.instance_count == 4

    def test_factory_is_called_for_the_successor_of_a_lone_thread(self, project: Any, load: Loads) -> None:
        loader = project.loader("main:create_app", factory=True, threads=1)
        assert distinct([load(loader), load(loader)]) == 2
        assert loader.instance_count == 1

    def test_object_is_shared(self, project: Any, load_on_threads: Loads) -> None:
        loader = project.loader(hello, threads=3)
        assert load_on_threads(loader, 3) == [hello] * 3
        assert loader.instance_count == 1

    def test_factory_given_as_an_object(self, project: Any, load_on_threads: Loads) -> None:
        project.load("main:app")
        loader = project.loader(sys.modules["main"].create_app, factory=True, threads=3)
        assert distinct(load_on_threads(loader, 3)) == 3

    def test_no_two_loads_at_once(self, project: Any, load_on_threads: Loads) -> None:
        project.write(
            "main.py",
            """
            import threading
            import helpers

            async def app(scope, receive, send): pass

            lock = vars(helpers).setdefault("lock", threading.Lock())
            assert lock.acquire(blocking=False), "two loads at once"
            for _ in range(20000): pass
            lock.release()
            """,
        )
        assert distinct(load_on_threads(project.loader("main:app", threads=8), 8)) == 8

    def test_import_runs_in_the_threads_loop(self, project: Any, load: Loads) -> None:
        project.write("main.py", MODULE + "    import asyncio\n    app.loop = asyncio.get_running_loop()\n")
        loader = project.loader("main:app")

        async def main() -> None:
            assert loader.load_threadsafe(1).loop is asyncio.get_running_loop()

        asyncio.run(main())
        asyncio.run(main())


@pytest.mark.usefixtures("module")
class TestShared:
    """--app-instance shared."""

    @pytest.mark.parametrize("settings", [{"app": "main:app"}, {"app": "main:create_app", "factory": True}])
    def test_one_for_all(self, project: Any, load_on_threads: Loads, settings: dict[str, Any]) -> None:
        loader = project.loader(**settings, app_instance="shared", threads=4)
        assert distinct(load_on_threads(loader, 4)) == 1
        assert loader.instance_count == 1


class TestImportedAgain:
    """What a module may do that is executed more than once."""

    def test_module_in_a_package(self, project: Any, load: Loads) -> None:
        project.write("pkg/__init__.py")
        project.write("pkg/helpers.py")
        project.write("pkg/main.py", MODULE.replace("import helpers", "from . import helpers"))
        loader = project.loader("pkg.main:app")
        first, package = load(loader), sys.modules["pkg"]
        assert load(loader) is not first
        assert package.main.app is first

    def test_package_with_its_submodules(self, project: Any, load: Loads) -> None:
        project.write(
            "pkg/__init__.py",
            """
            import pkg.routes
            from . import settings

            class App:
                async def __call__(self, scope, receive, send): pass
                def routes(self): return pkg.routes.names, settings.debug

            app = App()
            """,
        )
        project.write("pkg/routes.py", "names = ['index']")
        project.write("pkg/settings.py", "debug = False")
        loader = project.loader("pkg:app")
        first, second = load(loader), load(loader)
        assert first is not second
        assert first.routes() == second.routes()
        assert sys.modules["pkg"].app is first

    def test_dataclasses_and_annotations(self, project: Any, load: Loads) -> None:
        project.write(
            "main.py",
            """
            from __future__ import annotations
            from dataclasses import dataclass
            from typing import ClassVar, get_type_hints

            @dataclass
            class Item:
                n: int
                kind: ClassVar[str] = "item"

            @dataclass
            class Order:
                item: Item

            hints = get_type_hints(Order)

            class App:
                async def __call__(self, scope, receive, send): pass
                fits = hints["item"] is Item

            app = App()
            """,
        )
        loader = project.loader("main:app", threads=3)
        assert [load(loader).fits for _ in range(3)] == [True] * 3

    def test_thread_that_imports_it_meanwhile_sees_it_whole(self, project: Any, load: Loads) -> None:
        project.write(
            "sync.py",
            "import threading\nmeanwhile = None\nseen = []\n"
            "def look():\n    from main import last\n    seen.append(last)\n",
        )
        project.write(
            "main.py",
            """
            import sync
            async def app(scope, receive, send): pass
            if sync.meanwhile is not None:
                sync.meanwhile()
            last = "last"
            """,
        )
        loader = project.loader("main:app", app_shared="sync")
        load(loader)
        sync: Any = sys.modules["sync"]
        thread = threading.Thread(target=sync.look, daemon=True)
        sync.meanwhile = thread.start
        load(loader)
        thread.join(DEADLINE)
        assert sync.seen == ["last"]

    def test_already_defined_but_shared(self, project: Any, load_on_threads: Loads) -> None:
        project.write(
            "main.py", "import sys\nassert not hasattr(sys, 'once')\nasync def app(scope, receive, send): pass"
        )
        assert distinct(load_on_threads(project.loader("main:app", app_instance="shared"), 2)) == 1

    def test_module_without_a_way_to_execute_it(
        self, project: Any, load: Loads, caplog: pytest.LogCaptureFixture
    ) -> None:
        module: Any = type(sys)("made_by_hand")
        module.app = hello
        sys.modules["made_by_hand"] = module
        try:
            loader = project.loader("made_by_hand:app")
            with caplog.at_level(logging.WARNING):
                assert [load(loader), load(loader), load(loader)] == [hello] * 3
            assert loader.instance_count == 1
            assert server_messages(caplog) == [
                "made_by_hand:app is shared by all 2 threads, because "
                "the module made_by_hand can be executed only once."
            ]
        finally:
            del sys.modules["made_by_hand"]

    def test_main_module(self, project: Any, load: Loads, monkeypatch: pytest.MonkeyPatch) -> None:
        project.write("__main__.py", "raise RuntimeError('not this one')")
        # As Python makes it for `python folder`.
        monkeypatch.setattr(sys.modules["__main__"], "__spec__", ModuleSpec("__main__", None))
        monkeypatch.setattr(sys.modules["__main__"], "an_app", hello, raising=False)
        loader = project.loader("__main__:an_app")
        assert [load(loader), load(loader)] == [hello] * 2
        assert loader.sharing_reason == "the module __main__ can be executed only once"

    def test_module_that_is_gone(self, project: Any, load: Loads) -> None:
        file = project.write("main.py", "async def app(scope, receive, send): pass")
        loader = project.loader("main:app")
        first = load(loader)
        file.unlink()
        with pytest.raises(AppLoadError, match="ModuleNotFoundError: No module named 'main'"):
            load(loader)
        assert sys.modules["main"].app is first


class TestNotOnlyInItsModule:
    """An application that other modules have as well, so that executing one module does not make it anew."""

    def test_imported_into_the_named_module(self, project: Any, load: Loads) -> None:
        project.write("pkg/__init__.py", "from .core import site as app")
        project.write("pkg/core.py", MODULE.replace("import helpers", "").replace("app = ", "site = "))
        loader = project.loader("pkg:app", threads=3)
        assert distinct([load(loader) for _ in range(3)]) == 3
        assert loader.instance_count == 3

    def test_imported_from_a_module_in_one_copy(
        self, project: Any, load: Loads, caplog: pytest.LogCaptureFixture
    ) -> None:
        project.write("pkg/__init__.py", "from .core import site as app")
        project.write("pkg/core.py", MODULE.replace("import helpers", "").replace("app = ", "site = "))
        loader = project.loader("pkg:app", threads=3, app_shared=["pkg.core"])
        with caplog.at_level(logging.WARNING):
            assert distinct([load(loader) for _ in range(3)]) == 1
        assert loader.instance_count == 1
        assert server_messages(caplog) == [
            "pkg:app is shared by all 3 threads, because its module imports it from one that is there once."
        ]

    def test_named_where_it_is_made(self, project: Any, load: Loads) -> None:
        project.write("pkg/__init__.py", "from .core import app")
        project.write("pkg/core.py", MODULE.replace("import helpers", ""))
        loader = project.loader("pkg.core:app", threads=3)
        assert distinct([load(loader) for _ in range(3)]) == 3
        assert loader.instance_count == 3

    def test_circular_import(self, project: Any, load: Loads) -> None:
        project.write("helpers.py")
        project.write("main.py", MODULE + "    app.routes = []\n    import views\n")
        project.write("views.py", "from main import app\napp.routes.append('index')")
        loader = project.loader("main:app")
        assert [load(loader).routes for _ in range(3)] == [["index"]] * 3

    def test_imported_by_a_module_that_is_not_part_of_it(self, project: Any, load: Loads) -> None:
        project.write("main.py", MODULE.replace("import helpers", ""))
        project.write("start.py", "from main import app")
        sys.path.insert(0, str(project.folder))
        importlib.import_module("start")
        loader = project.loader("main:app")
        assert distinct([load(loader), load(loader)]) == 2

    def test_imported_by_the_program(self, project: Any, load: Loads, monkeypatch: pytest.MonkeyPatch) -> None:
        project.write("main.py", MODULE.replace("import helpers", ""))
        monkeypatch.setattr(sys.modules["__main__"], "app", project.load("main:app"), raising=False)
        loader = project.loader("main:app")
        assert distinct([load(loader), load(loader)]) == 2

    def test_factory_that_returns_the_same_to_a_lone_thread(
        self, project: Any, load: Loads, caplog: pytest.LogCaptureFixture
    ) -> None:
        project.write("main.py", MODULE.replace("import helpers", "") + "    def create_app(): return app\n")
        loader = project.loader("main:create_app", factory=True, threads=1)
        with caplog.at_level(logging.WARNING):
            assert distinct([load(loader), load(loader)]) == 1
        assert server_messages(caplog) == []

    def test_factory_that_returns_the_same(self, project: Any, load: Loads, caplog: pytest.LogCaptureFixture) -> None:
        project.write(
            "main.py", MODULE.replace("import helpers", "import made") + "    def create_app(): return made.app"
        )
        project.write("made.py", MODULE.replace("import helpers", ""))
        loader = project.loader("main:create_app", factory=True, threads=3, app_shared=["made"])
        with caplog.at_level(logging.WARNING):
            assert distinct([load(loader) for _ in range(3)]) == 1
        assert loader.instance_count == 1
        assert server_messages(caplog) == [
            "main:create_app is shared by all 3 threads, because its factory returns the same one each time."
        ]


class TestFailures:
    """What keeps an application from being loaded at all."""

    def test_import_is_tried_once(self, project: Any, load_on_threads: Loads) -> None:
        project.write("counter.py", "tries = []")
        project.write("main.py", "import counter\ncounter.tries.append(1)\nraise ValueError('broken')")
        results = load_on_threads(project.loader("main:app", threads=3), 3)
        assert [type(error) for error in results] == [AppImportFailed] * 3
        assert {str(error) for error in results} == {"main:app cannot be imported: ValueError: broken"}
        assert len({id(error) for error in results}) == 3, "an exception belongs to one thread"
        assert all(isinstance(error.__cause__, ValueError) for error in results)
        assert sys.modules["counter"].tries == [1]

    def test_factory_raises(self, project: Any) -> None:
        project.write("main.py", "def create_app(): raise KeyError('SECRET')")
        with pytest.raises(AppImportFailed) as caught:
            project.load("main:create_app", factory=True)
        assert str(caught.value) == "the factory main:create_app failed: KeyError: 'SECRET'"
        assert isinstance(caught.value.__cause__, KeyError)

    def test_factory_exits(self, project: Any) -> None:
        project.write("main.py", "def create_app(): raise SystemExit(7)")
        with pytest.raises(AppImportFailed, match="SystemExit: 7"):
            project.load("main:create_app", factory=True)

    @pytest.mark.parametrize(
        ("source", "line"),
        [
            (
                "def create_app(): pass",
                "what the factory main:create_app returned is None, which cannot be called; "
                "an ASGI application is async def app(scope, receive, send)",
            ),
            (
                "async def create_app(): pass",
                "main:create_app is async; a factory is a plain function, "
                "and what it would await belongs in the lifespan",
            ),
            (
                "async def build(): pass\ndef create_app(): return build()",
                "main:create_app is async; a factory is a plain function, "
                "and what it would await belongs in the lifespan",
            ),
            (
                "async def create_app(scope, receive, send): pass",
                "main:create_app cannot be called without arguments; "
                "if it is the application and no factory, leave out --factory",
            ),
            (
                "create_app = 'main:app'",
                "main:create_app is of the type str, which cannot be called; "
                "an ASGI application is async def app(scope, receive, send)",
            ),
        ],
    )
    def test_no_factory(self, project: Any, source: str, line: str) -> None:
        project.write("main.py", source)
        with pytest.raises(AppLoadError) as caught:
            project.load("main:create_app", factory=True)
        assert str(caught.value) == line

    def test_no_application(self, project: Any) -> None:
        project.write("pkg/__init__.py", "from . import main")
        project.write("pkg/main.py")
        with pytest.raises(
            AppLoadError, match=r"^pkg:main is a module, not an application; did you mean pkg\.main:app\?$"
        ):
            project.load("pkg:main")

    def test_object_that_is_no_application(self, project: Any) -> None:
        async def app(one: Any, two: Any, three: Any, four: Any) -> None: ...

        with pytest.raises(AppLoadError, match=r"app cannot be called with three arguments; an ASGI application is "):
            project.load(app)


class TestInterface:
    """Which interface a loaded application is served with."""

    def test_factory_without_the_flag(self, project: Any, load: Loads, caplog: pytest.LogCaptureFixture) -> None:
        project.write("helpers.py")
        project.write("main.py", FACTORY)
        loader = project.loader("main:create_app")
        with caplog.at_level(logging.WARNING):
            assert distinct([load(loader), load(loader)]) == 2
        assert server_messages(caplog) == [
            "main:create_app takes no arguments, so it is used as a factory. Add --factory to say so."
        ]
        assert loader.instance_count == 2

    def test_asgi2_is_wrapped(self, project: Any, load: Loads) -> None:
        loader = project.loader(OldHello)
        app: Any = load(loader)
        assert isinstance(app, ASGI2Adapter)
        assert vars(app)["app"] is OldHello
        assert loader.interface == "asgi2"

    @pytest.mark.parametrize("interface", ["auto", "wsgi"])
    def test_wsgi_has_one_instance_and_one_middleware(self, project: Any, load: Loads, interface: str) -> None:
        project.write("main.py", "def app(environ, start_response): ...")
        loader = project.loader("main:app", interface=interface, wsgi_threads=2)
        assert distinct([load(loader), load(loader)]) == 1
        assert isinstance(load(loader), WSGIMiddleware)
        assert (loader.interface, loader.instance_count) == ("wsgi", 1)
        assert loader.stop(DEADLINE)

    def test_interface_that_is_named_is_believed(self, project: Any, load: Loads) -> None:
        loader = project.loader(hello, interface="asgi2")
        assert isinstance(load(loader), ASGI2Adapter)
        loader = project.loader(OldHello, interface="asgi3")
        assert load(loader) is OldHello
        assert loader.interface == "asgi3"
