"""Projects of several modules on four threads, started in the ways there are: each thread has its own copy, whole."""

import json
import signal
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

from support.editable_site import environment, replace_code
from support.raw_client import RawClient
from support.server_process import ServerProcess
from support.waiting import DEADLINE, wait_until

THREADS = 4
APP = """
import json, sys
from . import state
from support.apps import respond

class App:
    async def __call__(self, scope, receive, send):
        assert scope["type"] == "http"
        from site_pkg import late
        is_whole = late.app.app is self and sys.modules[__name__].app is self and late.state.kept is state.kept
        await respond(send, json.dumps([state.version, id(state.kept), is_whole]).encode())

app = App()
"""
STATE = "version = {!r}\nkept = []\n"


def write_package(folder: Path, main: str = "") -> Path:
    """Writes the package `site_pkg`, with a module that is imported by requests alone; returns that of its state."""
    package = folder / "site_pkg"
    package.mkdir()
    files = {"__init__": "", "app": APP, "late": "from . import app, state\n", "__main__": dedent(main)}
    for name, source in files.items():
        (package / f"{name}.py").write_text(source)
    state = package / "state.py"
    state.write_text(STATE.format(1))
    return state


def answers(server: ServerProcess) -> set[tuple[Any, ...]]:
    """What the threads say, in turn."""
    seen = set()
    for _ in range(2 * THREADS):
        client = RawClient(server.host, server.port)
        client.socket.settimeout(3 * DEADLINE)
        try:
            seen.add(tuple(json.loads(client.get("/", "Connection: close").body)))
        finally:
            client.close()
    return seen


def is_served_whole(server: ServerProcess, version: int) -> bool:
    """Return whether each thread has this version, with a state of its own that is one in all its modules.

    A thread that the system does not run for a while counts as stalled, and another is asked in its place.
    """
    seen = answers(server)
    return {(number, whole) for number, _, whole in seen} == {(version, True)} and len(seen) == THREADS


def test_program_that_has_imported_a_part_before(tmp_path: Path) -> None:
    """`python -m PACKAGE`, which serves in its own loop and then, when that has ended, by `run`."""
    write_package(
        tmp_path,
        f"""
        import asyncio
        import site_pkg.state
        import threadserve

        settings = dict(threads={THREADS}, port=0, distribute="round-robin")

        class Once(threadserve.Server):
            def handle_exit(self, sig, frame):
                self.should_exit = True

        if __name__ == "__main__":
            asyncio.run(Once(threadserve.Config("site_pkg.app:app", **settings)).serve())
            assert type(site_pkg.state).__name__ == "module"
            print("Served by serve.", flush=True)
            threadserve.run("site_pkg.app:app", **settings)
        """,
    )
    server = ServerProcess("site_pkg.app:app", cwd=tmp_path, env=environment(tmp_path))
    server.command = [sys.executable, "-m", "site_pkg"]
    with server:
        wait_until(lambda: is_served_whole(server, 1), "version 1 on all threads")
        server.send_signal(signal.SIGTERM)
        server.wait_for_line("Served by serve", stream="stdout")
        wait_until(lambda: server.stderr.count("running on") == 2, "the second server")
        server.port = int(server.stderr.rpartition("running on http://127.0.0.1:")[2].partition(" ")[0])
        wait_until(lambda: is_served_whole(server, 1), "version 1 on all threads")
        assert server.stop() == 0, server.stderr


def test_edit_of_another_module_than_the_apps(tmp_path: Path) -> None:
    state = write_package(tmp_path)
    settings = ("--threads", str(THREADS), "--distribute", "round-robin", "--reload", "--reload-delay", "0.05")
    with ServerProcess("site_pkg.app:app", *settings, cwd=tmp_path, env=environment(tmp_path)) as server:
        wait_until(lambda: is_served_whole(server, 1), "version 1 on all threads")
        replace_code(state, STATE.format(2))
        wait_until(lambda: is_served_whole(server, 2), "version 2 on all threads", 3 * DEADLINE)
        replace_code(state, "version = = 3\n")
        server.wait_for_line("SyntaxError")
        replace_code(state, STATE.format(4))
        wait_until(lambda: is_served_whole(server, 4), "version 4 on all threads", 3 * DEADLINE)
        assert server.stop() == 0, server.stderr


def test_stop_while_a_further_copy_is_imported(tmp_path: Path) -> None:
    """It hangs, and a thread of the project's goes on importing meanwhile."""
    state = write_package(tmp_path)
    state.write_text(
        dedent(
            """
            import builtins, itertools, importlib, threading
            builtins.number = getattr(builtins, "number", 0) + 1
            def import_for_ever():
                for each in itertools.cycle(range(20)):
                    try: importlib.import_module(f"site_pkg.missing{each}")
                    except ImportError: pass
            if number == 2:
                threading.Thread(target=import_for_ever, daemon=True).start()
                print("Imported again.", flush=True)
                threading.Event().wait()
            """
        )
    )
    server = ServerProcess("site_pkg.app:app", "--threads", "2", cwd=tmp_path, env=environment(tmp_path))
    try:
        server.start(wait=False)
        server.wait_for_line("Imported again", stream="stdout")
        assert server.stop() == 128 + signal.SIGTERM
        assert "Loop thread 2 does not end: the application's import goes on. Exiting without it." in server.stderr
        assert "Traceback" not in server.stderr
    finally:
        server.kill()
