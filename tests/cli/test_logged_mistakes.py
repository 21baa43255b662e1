"""What stops the server goes to the log that `--log-config` sets up, and to the console once."""

import json
from pathlib import Path

import pytest
from support.command_line import run_module

FILE = {"class": "logging.FileHandler", "filename": "server.log", "formatter": "plain"}
CONSOLE = {"class": "logging.StreamHandler", "stream": "ext://sys.stderr", "formatter": "plain"}
HIGHER = {**FILE, "level": "CRITICAL"}


@pytest.mark.parametrize(
    ("handlers", "shown", "logged"),
    [
        ({"file": FILE}, "Error: {}\n", "ERROR {}\n"),
        ({"file": FILE, "console": CONSOLE}, "ERROR {}\n", "ERROR {}\n"),
        ({"file": HIGHER}, "Error: {}\n", ""),
    ],
)
def test_what_stops_the_server_is_logged(tmp_path: Path, handlers: dict[str, object], shown: str, logged: str) -> None:
    config = {
        "version": 1,
        "formatters": {"plain": {"format": "%(levelname)s %(message)s"}},
        "handlers": handlers,
        "loggers": {"threadserve.error": {"level": "INFO", "handlers": list(handlers), "propagate": False}},
    }
    (tmp_path / "log.json").write_text(json.dumps(config))
    result = run_module("site_without_app:app", "--log-config", "log.json", cwd=tmp_path)
    line = result.stderr.rstrip("\n").removeprefix("Error: ").removeprefix("ERROR ")
    assert "site_without_app" in line
    assert (result.returncode, result.stderr) == (3, shown.format(line))
    assert (tmp_path / "server.log").read_text() == logged.format(line)
