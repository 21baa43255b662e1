"""What belongs to one event loop is found wherever a module keeps it, and judged by who shares it."""

from typing import Any

from support.sites import need

BARE = "\nasync def app(scope, receive, send): assert scope['type'] == 'http'\n"

REAL = [
    ("asyncio.Lock()", "import asyncio", "asyncio.Lock"),
    ("asyncio.Event()", "import asyncio", "asyncio.Event"),
    ("asyncio.Condition()", "import asyncio", "asyncio.Condition"),
    ("asyncio.BoundedSemaphore(2)", "import asyncio", "asyncio.Semaphore"),
    ("asyncio.PriorityQueue()", "import asyncio", "asyncio.Queue"),
    ("asyncio.TaskGroup()", "import asyncio", "asyncio.TaskGroup"),
    ("asyncio.get_running_loop().create_future()", "import asyncio", "asyncio.Future"),
    ("asyncio.get_running_loop()", "import asyncio", "asyncio.AbstractEventLoop"),
    ("anyio.Lock()", "import anyio", "anyio.Lock"),
    ("anyio.Event()", "import anyio", "anyio.Event"),
    ("anyio.CapacityLimiter(1)", "import anyio", "anyio.CapacityLimiter"),
    ("anyio.Semaphore(1)", "import anyio", "anyio.Semaphore"),
    ("httpx.AsyncClient(verify=False)", "import httpx", "httpx.AsyncClient"),
    ("aiohttp.ClientSession()", "import aiohttp", "aiohttp.ClientSession"),
    ("redis.asyncio.Redis()", "import redis.asyncio", "redis.asyncio.Redis"),
    ("redis.asyncio.ConnectionPool()", "import redis.asyncio", "redis.asyncio.ConnectionPool"),
    ("pymongo.AsyncMongoClient(connect=False)", "import pymongo", "pymongo.AsyncMongoClient"),
]

# One each that no loop owns; a class is nobody's either.
SYNCHRONOUS = """
import queue, threading, httpx, redis, pymongo, asyncio
one, two = threading.Lock(), queue.Queue()
three, four, five = httpx.Client(verify=False), redis.Redis(), pymongo.MongoClient(connect=False)
six = asyncio.Lock
"""

# Stand-ins for what has no build for every interpreter, or turns the GIL on: known by their names.
FAKES = {
    "asyncpg": ("Pool", "class Pool: pass\nPool.__module__ = 'asyncpg.pool'\n"),
    "motor": (
        "AsyncIOMotorClient",
        "class AsyncIOMotorClient: pass\nAsyncIOMotorClient.__module__ = 'motor.motor_asyncio'\n",
    ),
}


def test_each_kind_of_a_library_is_known_and_the_synchronous_ones_are_left_alone(project: Any) -> None:
    imports = sorted({imported for _, imported, _ in REAL})
    objects = [f"object_{number} = {expression}" for number, (expression, _, _) in enumerate(REAL)]
    file = project.write("main.py", "\n".join([*imports, *objects]), f"\n{SYNCHRONOUS}{BARE}")
    found = project.found("loop-bound", "main:app", "--app-instance", "shared")
    told = [(each["message"].partition(",")[0], each["level"], each["file"], each["line"]) for each in found]
    assert sorted(told, key=lambda each: each[-1]) == [
        (f"main.object_{number} ({kind}) belongs to one event loop", "break", str(file), len(imports) + 1 + number)
        for number, (_, _, kind) in enumerate(REAL)
    ]


def test_libraries_that_are_not_installed_are_known_by_name(project: Any) -> None:
    lines = []
    for package, (name, source) in FAKES.items():
        project.write(f"{package}.py", source)
        lines.append(f"import {package}\nclass Mine({package}.{name}): pass\nobject_of_{package} = Mine()\n")
    project.write("main.py", "".join(lines), BARE)
    found = project.found("loop-bound", "main:app", "--app-instance", "shared")
    assert sorted((each["line"], each["message"].partition(" belongs")[0]) for each in found) == [
        (3, "main.object_of_asyncpg (asyncpg.Pool)"),
        (6, "main.object_of_motor (motor.AsyncIOMotorClient)"),
    ]


def test_an_async_engine_is_known(project: Any) -> None:
    need("aiosqlite")
    need("greenlet")
    source = """
        from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
        engine = create_async_engine("sqlite+aiosqlite://")
        sessions = async_sessionmaker(engine)
    """
    project.write("main.py", source, BARE)
    [found] = project.found("loop-bound", "main:app", "--app-instance", "shared")
    assert found["message"].startswith("main.engine (sqlalchemy.ext.asyncio.AsyncEngine) belongs")
    assert found["line"] == 2


HOLDERS = """
import asyncio
from types import SimpleNamespace
table = {
    "lock": asyncio.Lock(),
}
row = [1, asyncio.Lock()]
class Kept:
    event = asyncio.Event()
    def __init__(self):
        self.queue = asyncio.Queue()
kept = Kept()
class Slotted:
    __slots__ = ("lock",)
slotted = Slotted()
slotted.lock = asyncio.Lock()
space = SimpleNamespace(lock=asyncio.Lock())
first, (second, *rest) = 1, (asyncio.Lock(), 2, asyncio.Lock())
try:
    tried: asyncio.Lock = asyncio.Lock()
except Exception:
    tried = None
late = None
def set_up():
    global late
    late = asyncio.Lock()
set_up()
"""


def test_it_is_found_one_level_down_at_the_line_that_puts_it_there(project: Any) -> None:
    project.write("main.py", HOLDERS, BARE)
    found = project.found("loop-bound", "main:app", "--app-instance", "shared")
    assert {each["message"].split(" ")[0]: each["line"] for each in found} == {
        "main.table['lock']": 3,
        "main.row[1]": 6,
        "main.Kept.event": 8,
        "main.kept.queue": 11,
        "main.slotted.lock": 15,
        "main.space.lock": 16,
        "main.second": 17,
        "main.rest[1]": 17,
        "main.tried": 19,
        "main.late": 25,
    }


def test_it_is_found_on_the_application_and_what_its_lifespan_puts_there(project: Any) -> None:
    source = """
        import asyncio
        from contextlib import asynccontextmanager
        from starlette.applications import Starlette
        @asynccontextmanager
        async def lifespan(app):
            app.state.late = asyncio.Lock()
            yield
        app = Starlette(lifespan=lifespan)
        app.state.early = asyncio.Lock()
    """
    project.write("main.py", source)
    report = project.check("main:app", "--app-instance", "shared")
    found = [each for each in report["findings"] if each["code"] == "loop-bound"]
    assert {each["message"].split(" ")[0]: (each["line"], each["level"]) for each in found} == {
        "main.app.state.early": (9, "break"),
        "main.app.state.late": (6, "break"),
    }
    [overwritten] = [each for each in report["findings"] if each["code"] == "lifespans-overwrite"]
    assert "app.state.late" in overwritten["message"]


def test_it_is_found_on_what_a_factory_makes(project: Any) -> None:
    source = """
        import asyncio
        from starlette.applications import Starlette
        def make():
            app = Starlette()
            app.state.lock = asyncio.Lock()
            return app
    """
    project.write("main.py", source)
    [found] = project.found("loop-bound", "main:make", "--factory", "--threads", "2")
    assert (found["level"], found["message"].split(" ")[0]) == ("note", "app.state.lock")


def test_what_a_framework_keeps_on_its_application_is_its_own(project: Any) -> None:
    project.write("main.py", "from quart import Quart\napp = Quart(__name__)\n")
    assert project.found("loop-bound", "main:app", "--app-instance", "shared") == []


def test_in_a_copied_module_each_thread_has_its_own(project: Any) -> None:
    project.write("main.py", f"import asyncio\nlock = asyncio.Lock()\n{BARE}")
    report = project.check("main:app", "--threads", "4")
    [found] = [each for each in report["findings"] if each["code"] == "loop-bound"]
    assert (found["level"], found["line"], report["ok"]) == ("note", 2, True)


def test_nobody_has_to_ask_for_threads(project: Any) -> None:
    project.write("main.py", f"import asyncio\nlock = asyncio.Lock()\n{BARE}")
    codes = {each["code"] for each in project.check("main:app", WEB_CONCURRENCY="")["findings"]}
    assert {"loop-bound", "threads-assumed"} <= codes


def test_with_one_thread_there_is_nothing_to_say(project: Any) -> None:
    project.write("main.py", f"import asyncio\nlock = asyncio.Lock()\n{BARE}")
    codes = {each["code"] for each in project.check("main:app", "--threads", "1")["findings"]}
    assert not {"loop-bound", "threads-assumed"} & codes


def test_in_a_module_of_which_there_is_one_all_threads_share_it(project: Any) -> None:
    """So they do in what only such a module imports, and not in the rest of the project."""
    project.write("main.py", f"import asyncio, models\nlock = asyncio.Lock()\n{BARE}")
    project.write("models.py", "import asyncio, database\nlock = asyncio.Lock()\n")
    project.write("database.py", "import asyncio\nlock = asyncio.Lock()\n")
    found = project.found("loop-bound", "main:app", "--threads", "2", "--app-shared", "models")
    assert {each["message"].split(" ")[0]: each["level"] for each in found} == {
        "main.lock": "note",
        "models.lock": "break",
        "database.lock": "break",
    }
    assert all("--app-shared models" in each["remedy"] for each in found if each["level"] == "break")


def test_a_librarys_is_shared_whatever_the_settings(project: Any) -> None:
    project.write("site-packages/library.py", "import asyncio\nclass Kept:\n    lock = asyncio.Lock()\n")
    project.write("main.py", "import sys\nsys.path.append('site-packages')\nfrom library import Kept\n" + BARE)
    [found] = project.found("loop-bound", "main:app", "--threads", "2")
    assert (found["level"], found["line"]) == ("break", 3)
    assert found["message"].startswith("library.Kept.lock (asyncio.Lock)")


def test_an_import_from_another_module_is_told_once_where_it_is_made(project: Any) -> None:
    project.write("main.py", f"from clients import lock\nfrom clients import lock as other\n{BARE}")
    project.write("clients.py", "import asyncio\n\nlock = asyncio.Lock()\n")
    [found] = project.found("loop-bound", "main:app", "--app-instance", "shared")
    assert (found["file"], found["line"]) == (str(project.folder / "clients.py"), 3)


def test_in_a_wsgi_application_it_is_a_warning(project: Any) -> None:
    project.write("main.py", "import asyncio\nlock = asyncio.Lock()\ndef app(environ, start_response): return []\n")
    [found] = project.found("loop-bound", "main:app")
    assert (found["level"], found["line"]) == ("warn", 2)


def test_objects_that_answer_nothing_do_not_end_the_check(project: Any) -> None:
    source = """
        class Proxy:
            def __getattribute__(self, name):
                raise RuntimeError(f"{name} is out of context")
        class Shy:
            def __init__(self): self.table = {self: 1}
            def __repr__(self): raise RuntimeError("no name")
            def __hash__(self): return 1
        proxy = Proxy()
        table = {Shy(): 1}
        shy = Shy()
    """
    project.write("main.py", source, BARE)
    assert project.check("main:app", "--app-instance", "shared")["ok"] is True
