"""Loading, starting and stopping the application as two loops would, and what goes wrong on the way."""

from typing import Any

import pytest

BARE = "\nasync def app(scope, receive, send): assert scope['type'] == 'http'\n"

LIFESPAN = """
import sys, threading
from contextlib import asynccontextmanager
from starlette.applications import Starlette

@asynccontextmanager
async def lifespan(app):
    print("up", threading.current_thread().name, file=sys.stderr)
    {up}
    yield
    print("down", threading.current_thread().name, file=sys.stderr)
    {down}

app = Starlette(lifespan=lifespan)
"""


def lifespan(up: str = "pass", down: str = "pass") -> str:
    return LIFESPAN.format(up=up, down=down)


def test_two_instances_start_and_stop_in_their_order(project: Any) -> None:
    project.write("main.py", lifespan())
    done = project.run("--check", "main:app", "--threads", "7")
    steps = [line for line in done.stderr.splitlines() if line.startswith(("up", "down"))]
    assert steps == ["up threadserve-1", "up threadserve-2", "down threadserve-1", "down threadserve-2"]


def test_one_thread_is_the_main_thread(project: Any) -> None:
    project.write("main.py", lifespan(up="import signal; signal.signal(signal.SIGUSR2, signal.SIG_IGN)"))
    done = project.run("--check", "main:app", "--threads", "1")
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if line.startswith("up")] == ["up MainThread"]


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ("def fail():\n    return 1 / 0\nfail()\n", 2, "main:app cannot be imported: ZeroDivisionError"),
        ("x = (\n", 1, "SyntaxError"),
        ("import sys\nsys.exit(3)\n", 2, "SystemExit: 3"),
        ("import no_such_library\n", 1, "No module named 'no_such_library'"),
    ],
)
def test_what_cannot_be_imported(project: Any, source: str, line: int, words: str) -> None:
    file = project.write("main.py", source)
    [found] = project.found("load-fails", "main:app")
    assert (found["level"], found["file"], found["line"]) == ("break", str(file), line)
    assert words in found["message"].splitlines()[0]
    assert words.rpartition(": ")[2] in found["message"].splitlines()[-1]


@pytest.mark.parametrize("app", ["nowhere:app", "main:nothing", "main", "main.py:app"])
def test_what_is_not_there(bare: Any, app: str) -> None:
    [found] = bare.found("load-fails", app)
    assert (found["level"], found["file"], found["line"]) == ("break", None, None)
    assert found["message"].endswith((".", "?"))


def test_a_module_that_can_be_executed_only_once_is_named(project: Any) -> None:
    once = "import logging\nif hasattr(logging, 'done'):\n    raise ValueError('again')\nlogging.done = True\n"
    file = project.write("models.py", once)
    project.write("main.py", f"import models\n{BARE}")
    [found] = project.found("second-instance", "main:app", "--threads", "2")
    assert (found["level"], found["file"], found["line"]) == ("break", str(file), 3)
    assert found["message"] == (
        "main:app cannot be loaded once per thread: the module models can be executed only once (ValueError: again)."
    )
    assert found["remedy"].startswith("Keep it in one copy with --app-shared models; ")
    assert project.check("main:app", "--threads", "2", "--app-shared", "models")["ok"] is True
    assert project.check("main:app", "--threads", "1")["ok"] is True


def test_a_factory_that_works_only_once(project: Any) -> None:
    source = """
        import logging
        def make():
            assert not hasattr(logging, "made")
            logging.made = True
            async def app(scope, receive, send): assert scope["type"] == "http"
            return app
    """
    project.write("main.py", source)
    [found] = project.found("second-instance", "main:make", "--factory", "--threads", "2")
    assert (found["level"], found["line"]) == ("break", 3)


@pytest.mark.parametrize(
    ("up", "number"),
    [
        ("raise OSError('no database')", 1),
        ("import logging; assert not logging.__dict__.setdefault('n', []), 'no database'; logging.n.append(1)", 2),
    ],
)
def test_a_start_up_that_fails(project: Any, up: str, number: int) -> None:
    file = project.write("main.py", lifespan(up=up))
    [found] = project.found("startup-fails", "main:app", "--threads", "2")
    assert (found["level"], found["file"], found["line"]) == ("break", str(file), 8)
    assert found["message"].startswith(f"Instance {number} of the application has not started up: ")
    assert "no database" in found["message"]


def test_a_lifespan_that_is_demanded_and_not_there(bare: Any) -> None:
    [found] = bare.found("startup-fails", "main:app", "--lifespan", "on")
    assert (found["level"], found["line"]) == ("break", 3)
    assert bare.check("main:app", "--lifespan", "off")["ok"] is True


def test_what_is_up_is_shut_down_though_another_is_not(project: Any) -> None:
    up = "import logging; assert not logging.__dict__.setdefault('n', []); logging.n.append(1)"
    project.write("main.py", lifespan(up=up))
    done = project.run("--check", "main:app", "--threads", "2")
    assert "down threadserve-1" in done.stderr
    assert "down threadserve-2" not in done.stderr


def test_a_shutdown_that_fails_is_a_warning(project: Any) -> None:
    project.write("main.py", lifespan(down="raise OSError('not closed')"))
    report = project.check("main:app", "--threads", "2")
    [found] = {each["line"] for each in report["findings"] if each["code"] == "shutdown-fails"}
    assert (found, report["ok"]) == (11, True)


def test_a_signal_handler_that_takes_the_main_thread(project: Any) -> None:
    """It works with one thread, and not with several."""
    handler = "import signal\nsignal.signal(signal.SIGUSR2, signal.SIG_IGN)\n"
    project.write("main.py", handler + BARE)
    [found] = project.found("load-fails", "main:app", "--threads", "2")
    assert (found["line"], "main thread" in found["message"]) == (2, True)
    assert project.check("main:app", "--threads", "1")["ok"] is True


def test_an_application_that_threads_share_without_being_asked(project: Any) -> None:
    project.write(
        "main.py", f"{BARE}\nkept = app\ndef make(): return __import__('sys').modules.setdefault('k', kept)\n"
    )
    [found] = project.found("shared-instance", "main:make", "--factory", "--threads", "2")
    assert (found["level"], bool(found["remedy"])) == ("warn", True)


def test_a_wsgi_application_is_shared_as_it_should_be(project: Any) -> None:
    project.write("main.py", "def app(environ, start_response): return []\n")
    report = project.check("main:app", "--wsgi-threads", "3")
    [found] = [each for each in report["findings"] if each["code"] == "shared-instance"]
    assert (found["level"], report["would_run"]["wsgi_threads"]) == ("note", 3)
    assert report["would_run"]["interface"] == "wsgi"


def test_a_lifespan_that_uses_the_loop_of_another_thread(project: Any) -> None:
    up = "import asyncio; loops.append(asyncio.get_running_loop()); loops[0].call_soon(id, 1)"
    project.write("main.py", f"loops = []\n{lifespan(up)}")
    [found] = project.found("foreign-call", "main:app", "--threads", "2", "--app-instance", "shared")
    assert (found["level"], "main.py" in found["message"]) == ("warn", True)


def test_an_application_that_runs_its_own_server(project: Any) -> None:
    project.write("main.py", f"{BARE}\nimport threadserve\nthreadserve.run('main:app', port=0)\n")
    [found] = project.found("serves-itself", "main:app")
    assert (found["level"], '__name__ == "__main__"' in found["remedy"]) == ("warn", True)


def test_a_factory_that_was_not_said_to_be_one(project: Any) -> None:
    project.write("main.py", "def make():\n    async def app(scope, receive, send): raise OSError\n    return app\n")
    [found] = project.found("factory", "main:make")
    assert (found["level"], found["remedy"]) == ("warn", "Add --factory to say so.")


def test_a_lifespan_finds_the_event_of_the_stop_that_it_finds_when_served(project: Any) -> None:
    project.write(
        "main.py",
        """
        async def app(scope, receive, send):
            assert scope["type"] == "lifespan"
            await receive()
            assert not scope["state"]["threadserve_stopping"].is_set()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        """,
    )
    assert project.check("main:app", "--lifespan", "on", "--threads", "2")["ok"]
