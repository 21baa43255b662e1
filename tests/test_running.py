"""`run`: when it takes other processes, and what it refuses then."""

from typing import Any

import pytest
from support.apps import hello
from support.server_process import ServerProcess

import threadserve
from threadserve import Config
from threadserve.errors import ConfigError
from threadserve.runtime.gil import is_free_threaded_build

OBJECT = 'other processes cannot be given an object: pass the app as "module:attribute"'


@pytest.mark.parametrize(
    ("app", "settings", "option", "problem"),
    [
        (hello, {"workers": 2}, "workers", OBJECT),
        (hello, {"reload": True}, "reload", OBJECT),
        (
            "main:app",
            {"reload": True, "workers": 2},
            "reload",
            "it serves with one process: leave out --workers, or use --threads",
        ),
        (
            "main:app",
            {"reload": True, "workers": "auto"},
            "reload",
            "it serves with one process: leave out --workers, or use --threads",
        ),
    ],
)
def test_what_other_processes_cannot_serve_is_refused(
    app: Any, settings: dict[str, Any], option: str, problem: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        threadserve.run(app, port=0, **settings)
    assert (refused.value.option, refused.value.problem) == (option, problem)


@pytest.mark.parametrize(
    ("settings", "other_processes"),
    [({}, False), ({"workers": 1}, False), ({"workers": 2}, True), ({"reload": True}, True)],
)
def test_when_other_processes_serve(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], other_processes: bool
) -> None:
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    assert Config("main:app", **settings).use_subprocess is other_processes


def test_a_bad_web_concurrency_is_one_line() -> None:
    server = ServerProcess("main:app", env={"WEB_CONCURRENCY": "many"})
    server.start(wait=False)
    assert server.wait() == ConfigError.exit_code
    option = "threads" if is_free_threaded_build() else "workers"
    line = f"Error: Invalid value for '--{option}': $WEB_CONCURRENCY is 'many', not a number of {option}\n"
    assert server.stderr == line
    server.kill()


def test_a_mistake_on_the_command_line_is_one_line() -> None:
    server = ServerProcess("main:app", "--workers", "2", "--reload")
    server.start(wait=False)
    assert server.wait() == ConfigError.exit_code
    assert server.stderr == (
        "Error: Invalid value for '--reload': it serves with one process: leave out --workers, or use --threads\n"
    )
    server.kill()
