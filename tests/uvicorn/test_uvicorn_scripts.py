"""Scripts that start Uvicorn by `run` or `Server`, with the import changed, each as a process of its own."""

import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from textwrap import dedent

import httpx
import pytest
from support.server_process import ServerProcess
from support.waiting import DEADLINE

APP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for _ in range(2):
            message = await receive()
            # In one piece, for the access log writes there as well.
            print(message["type"] + "\\n", end="", flush=True)
            await send({"type": message["type"] + ".complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def create_app():
    return app

"""
Start = Callable[[str], ServerProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start(script)` runs a script that begins with an application, and waits until it serves."""
    with ExitStack() as stack:

        def run(script: str) -> ServerProcess:
            (tmp_path / "program.py").write_text(APP + dedent(script))
            server = ServerProcess("", cwd=tmp_path)
            server.command = [sys.executable, "program.py"]
            return stack.enter_context(server)

        yield run


def get(server: ServerProcess) -> str:
    """What the server answers."""
    return httpx.get(server.url, verify=False, timeout=DEADLINE).raise_for_status().text


@pytest.mark.parametrize(
    "arguments",
    [
        'app, host="127.0.0.1", port=0, log_level="info"',
        '"program:app", host="127.0.0.1", port=0, reload=False, workers=1',
        '"program:create_app", factory=True, port=0, log_level="INFO"',
        'app, port=0, log_level=20, access_log=False, lifespan="on", loop="asyncio", http="h11"',
        'app=app, host="127.0.0.1", port=0, headers=[("X-Served-By", "us")], server_header=False, root_path="/api"',
        "app, port=0, timeout_keep_alive=5, limit_concurrency=100, backlog=128, proxy_headers=True, use_colors=False",
        'app, port=0, workers=None, reload=False, forwarded_allow_ips="*", ws="none", interface="asgi3"',
    ],
)
def test_run(start: Start, arguments: str) -> None:
    server = start(f"""
        if __name__ == "__main__":
            import threadserve

            threadserve.run({arguments})
    """)
    assert get(server) == "hello"
    server.stop()
    assert "lifespan.shutdown" in server.stdout
    assert "Traceback" not in server.stderr


def test_run_returns_after_ctrl_c(start: Start) -> None:
    server = start("""
        import threadserve

        threadserve.run(app, port=0)
        print("after the server", flush=True)
    """)
    server.stop(signal.SIGINT)
    assert "after the server" in server.stdout
    assert "Traceback" not in server.stderr


@pytest.mark.parametrize(
    "run",
    [
        'threadserve.run("program:app", port=0)',
        "threadserve.Server(threadserve.Config(app, port=0)).run()",
        'threadserve.run("program:app", port=0, workers=2)',
        'threadserve.run("program:app", port=0, reload=True)',
    ],
    ids=["run", "server", "workers", "reload"],
)
def test_handler_of_the_programs_own_is_called_when_the_server_has_stopped(start: Start, run: str) -> None:
    server = start(f"""
        import signal
        import sys
        import threadserve

        def leave(number, frame):
            print("leaving because of", int(number), flush=True)
            sys.exit(7)

        if __name__ == "__main__":
            signal.signal(signal.SIGTERM, leave)
            {run}
            print("after the server", flush=True)
    """)
    assert server.stop() == 7
    served, told, rest = server.stdout.partition("leaving because of 15\n")
    assert served.count("lifespan.shutdown\n") == (2 if "workers" in run else 1)
    assert (bool(told), rest) == (True, "")
    assert "Traceback" not in server.stderr


def test_run_in_a_process_that_the_program_ends(start: Start) -> None:
    server = start("""
        import multiprocessing
        import signal
        import threadserve

        if __name__ == "__main__":
            process = multiprocessing.get_context("spawn").Process(
                target=threadserve.run, args=("program:app",), kwargs={"port": 0}, daemon=True
            )
            signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())
            process.start()
            process.join()
            print("the process has ended", flush=True)
    """)
    assert get(server) == "hello"
    assert server.stop() == 0
    assert "lifespan.shutdown\n" in server.stdout.partition("the process has ended\n")[0]


def test_server_of_a_program_with_a_loop_of_its_own(start: Start) -> None:
    server = start("""
        import asyncio
        import threadserve

        async def main():
            server = threadserve.Server(threadserve.Config("program:app", port=0, log_level="info"))
            await server.serve()

        if __name__ == "__main__":
            asyncio.run(main())
    """)
    assert get(server) == "hello"
    server.stop()
    assert "lifespan.shutdown" in server.stdout


def test_handler_of_exit_with_a_step_of_the_program(start: Start) -> None:
    server = start("""
        import threadserve

        class OwnServer(threadserve.Server):
            def handle_exit(self, sig, frame):
                print("leaving because of", sig, flush=True)
                super().handle_exit(sig, frame)

        OwnServer(threadserve.Config(app, port=0)).run()
    """)
    server.send_signal(signal.SIGTERM)
    server.wait()
    assert re.search(r"leaving because of (Signals\.SIGTERM|15)\n", server.stdout)
    assert "lifespan.shutdown" in server.stdout


def test_log_configuration_that_the_program_changed(start: Start) -> None:
    server = start("""
        import threadserve
        from threadserve.config import LOGGING_CONFIG

        LOGGING_CONFIG["formatters"]["default"]["fmt"] = "%(asctime)s [%(name)s] %(levelprefix)s %(message)s"
        LOGGING_CONFIG["formatters"]["access"]["fmt"] = (
            '%(asctime)s [%(name)s] %(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s'
        )
        threadserve.run(app, port=0)
    """)
    assert get(server) == "hello"
    server.stop()
    assert re.search(r"^[\d-]+ [\d:,]+ \[threadserve\.error\] INFO: +\S", server.stderr, re.MULTILINE)
    access = r'^[\d-]+ [\d:,]+ \[threadserve\.access\] INFO: +127\.0\.0\.1:\d+ - "GET / HTTP/1\.1" 200'
    assert re.search(access, server.stdout, re.MULTILINE)


def test_log_configuration_of_the_programs_own(start: Start) -> None:
    server = start("""
        import threadserve

        threadserve.run(app, port=0, log_config={
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "default": {"()": "threadserve.logging.DefaultFormatter", "fmt": "MINE %(message)s"},
                "access": {"()": "threadserve.logging.AccessFormatter", "fmt": "MINE %(client_addr)s %(status_code)s"},
            },
            "handlers": {
                "default": {"formatter": "default", "class": "logging.StreamHandler", "stream": "ext://sys.stderr"},
                "access": {"formatter": "access", "class": "logging.StreamHandler", "stream": "ext://sys.stdout"},
            },
            "loggers": {
                "threadserve": {"handlers": ["default"], "level": "INFO", "propagate": False},
                "threadserve.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
            },
        })
    """)
    assert get(server) == "hello"
    server.stop()
    assert "MINE Application startup complete.\n" in server.stderr
    assert re.search(r"^MINE 127\.0\.0\.1:\d+ 200", server.stdout, re.MULTILINE)


def test_formatter_of_the_programs_own_after_ours(start: Start) -> None:
    server = start("""
        import copy
        import logging
        import threadserve
        from threadserve.config import LOGGING_CONFIG
        from threadserve.logging.formatters import DefaultFormatter

        class Loud(DefaultFormatter):
            def formatMessage(self, record):
                return "LOUD " + super().formatMessage(record)

        settings = copy.deepcopy(LOGGING_CONFIG)
        settings["formatters"]["default"]["()"] = Loud
        settings["formatters"]["access"]["use_colors"] = False
        logging.getLogger("threadserve.access").addFilter(lambda record: "/health" not in record.getMessage())
        threadserve.run(app, port=0, log_config=settings)
    """)
    httpx.get(f"{server.url}/health", verify=False, timeout=DEADLINE)
    assert get(server) == "hello"
    server.stop()
    assert re.search(r"^LOUD INFO: +Application startup complete\.$", server.stderr, re.MULTILINE)
    assert '"GET / HTTP/1.1"' in server.stdout
    assert "/health" not in server.stdout
