"""How the check is asked for, and what it writes where."""

import json
import platform
import socket
from typing import Any

import pytest
from support.command_line import assert_one_line, invoke

from threadserve.check import run
from threadserve.check.report import CheckReport


@pytest.mark.usefixtures("bare")
def test_only_what_is_written_with_it_is_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    # A check says the same however it is asked for.
    report = run.check("main:app", {})
    asked: list[str] = []

    def check(app: str, settings: object) -> CheckReport:
        asked.append(app)
        return report

    monkeypatch.setattr(run, "check", check)
    for arguments, is_json in [
        (["--check", "main:app"], False),
        (["main:app", "--check"], False),
        (["--check", "--threads", "2", "main:app"], False),
        (["--check=text", "main:app"], False),
        (["--check=json", "main:app"], True),
        (["main:app", "--check=json"], True),
        (["--check", "--", "main:app"], False),
    ]:
        done = invoke(*arguments)
        assert done.exit_code == 0, (arguments, done.stderr)
        assert asked.pop() == "main:app"
        if is_json:
            assert json.loads(done.stdout)["app"] == "main:app"
        else:
            assert done.stdout.splitlines()[-1].startswith("main:app on ")


def test_after_the_end_of_options_it_is_no_option() -> None:
    result = invoke("main:app", "--", "--check")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--check" in result.stderr


def test_a_value_that_there_is_not() -> None:
    assert_one_line(
        invoke("main:app", "--check=xml"), "Invalid value for '--check': 'xml' is not one of 'text', 'json'."
    )


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--port", "x"], "'--port': 'x' is not a whole number"),
        (["--uds", "a", "--bind", "b"], "'--bind': cannot be combined with uds"),
        (["--log-config", "none.json"], "'--log-config': none.json: No such file or directory"),
        (["--ssl-keyfile", "key.pem"], "'--ssl-keyfile': a key is of no use without --ssl-certfile"),
        (["--loop", "none:loop"], "'--loop': none cannot be imported: No module named 'none'"),
    ],
)
def test_what_the_server_would_refuse_is_bad_usage(arguments: list[str], problem: str) -> None:
    done = invoke("main:app", "--check", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == f"Error: Invalid value for {problem}"


def test_what_the_application_prints_is_not_in_the_report(project: Any) -> None:
    source = """
        import os, subprocess, sys
        print("by print")
        os.write(1, b"by a descriptor\\n")
        subprocess.run([sys.executable, "-c", "print('by a child')"], check=True)
    """
    project.write("main.py", source, "async def app(scope, receive, send): assert scope['type'] == 'http'\n")
    done = project.run("--check=json", "main:app")
    assert json.loads(done.stdout)["ok"] is True
    assert {"by print", "by a descriptor", "by a child"} <= set(done.stderr.splitlines())


def test_the_object_for_programs(bare: Any) -> None:
    report = bare.check("main:app", "--threads", "2", "--workers", "1")
    assert report.keys() == {"version", "app", "python", "findings", "would_run", "ok"}
    assert (report["version"], report["app"], report["ok"]) == (1, "main:app", True)
    assert report["python"].startswith(f"{platform.python_implementation()} {platform.python_version()} (")
    for finding in report["findings"]:
        assert finding.keys() == {"level", "code", "message", "file", "line", "remedy"}
    numbers = report["would_run"]
    assert (numbers["processes"], numbers["threads"], numbers["wsgi_threads"]) == (1, 2, 0)
    assert numbers["interface"] == "asgi3"


def test_settings_come_from_where_they_come_from_for_the_server(bare: Any) -> None:
    bare.write("pyproject.toml", '[tool.threadserve]\napp = "main:app"\nthreads = 3\n')
    assert bare.check()["would_run"]["threads"] == 3
    assert bare.check(THREADSERVE_THREADS="4")["would_run"]["threads"] == 4


def test_the_report_for_people_has_the_worst_first_and_counts(project: Any) -> None:
    project.write("main.py", "import asyncio\nlock = asyncio.Lock()\n", "async def app(scope, receive, send): pass\n")
    done = project.run("--check", "main:app", "--threads", "2", "--app-instance", "shared", "--reload-delay", "1")
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert lines[0] == (
        "main.py:2: break: main.lock (asyncio.Lock) belongs to one event loop, and all threads share it: "
        "--app-instance shared. [loop-bound]"
    )
    assert lines[1].startswith("    Make one for each loop")
    levels = [line.split(": ")[0] for line in lines if line.startswith(("warn: ", "note: "))]
    assert levels == sorted(levels, reverse=True)
    assert lines[-1].startswith("main:app on ")
    assert ": 1 thing breaks, " in lines[-1]


def test_nothing_is_bound(bare: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert invoke("--check", "main:app", "--port", port).exit_code == 0
    assert invoke("--check", "main:app", "--uds", "here.sock").exit_code == 0
    assert not (bare.folder / "here.sock").exists()


def test_it_is_in_the_help() -> None:
    assert "--check [=text|json]" in invoke("--help").stdout
