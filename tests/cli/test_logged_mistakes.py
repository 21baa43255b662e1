"""What stops the server goes to the log that `--log-config` sets up, and to the console once."""

import json
import re
from pathlib import Path

import pytest
from support.command_line import run_module

FILE = {"class": "logging.FileHandler", "filename": "server.log", "formatter": "plain"}
CONSOLE = {"class": "logging.StreamHandler", "stream": "ext://sys.stderr", "formatter": "plain"}
HIGHER = {**FILE, "level": "CRITICAL"}


def write_config(folder: Path, handlers: dict[str, object]) -> None:
    config = {
        "version": 1,
        "formatters": {"plain": {"format": "%(levelname)s %(message)s"}},
        "handlers": handlers,
        "loggers": {"threadserve.error": {"level": "INFO", "handlers": list(handlers), "propagate": False}},
    }
    (folder / "log.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("handlers", "shown", "logged"),
    [
        ({"file": FILE}, "Error: {}\n", "ERROR {}\n"),
        ({"file": FILE, "console": CONSOLE}, "ERROR {}\n", "ERROR {}\n"),
        ({"file": HIGHER}, "Error: {}\n", ""),
    ],
)
def test_what_stops_the_server_is_logged(tmp_path: Path, handlers: dict[str, object], shown: str, logged: str) -> None:
    write_config(tmp_path, handlers)
    result = run_module("site_without_app:app", "--log-config", "log.json", cwd=tmp_path)
    line = result.stderr.rstrip("\n").removeprefix("Error: ").removeprefix("ERROR ")
    assert "site_without_app" in line
    assert (result.returncode, result.stderr) == (3, shown.format(line))
    assert (tmp_path / "server.log").read_text() == logged.format(line)


FAILING = """
async def app(scope, receive, send):
    raise ValueError("no database")
"""


@pytest.mark.parametrize("handlers", [{"file": FILE}, {"file": FILE, "console": CONSOLE}], ids=["file", "both"])
def test_a_failed_start_up_is_logged_once(tmp_path: Path, handlers: dict[str, object]) -> None:
    write_config(tmp_path, handlers)
    (tmp_path / "failing_app.py").write_text(FAILING)
    result = run_module("failing_app:app", "--lifespan", "on", "--port", "0", "--log-config", "log.json", cwd=tmp_path)
    logged = (tmp_path / "server.log").read_text()
    assert re.findall("^ERROR.*", logged, re.MULTILINE) == [
        "ERROR Exception in 'lifespan' protocol",
        "ERROR Application startup failed. Exiting.",
    ]
    assert result.returncode == 3
    told = "Error: the application's startup failed: ValueError: no database\n"
    assert result.stderr == (logged if "console" in handlers else told)
