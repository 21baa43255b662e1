"""Settings from a file: which file, and what goes before it."""

from pathlib import Path

import pytest
from support.command_line import Calls, assert_one_line, invoke

FILE = 'app = "site:app"\nport = 1\nheaders = ["A: 1"]\nreload-dir = "src"\naccess_log = false\n'
SETTINGS = {"port": 1, "headers": [("A", "1")], "reload_dirs": "src", "access_log": False}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_project() -> None:
    Path("pyproject.toml").write_text(f"[tool.threadserve]\n{FILE}")


def test_a_file_gives_the_application_and_the_settings(served: Calls) -> None:
    Path("server.toml").write_text(FILE)
    assert invoke("--config", "server.toml").exit_code == 0
    assert served == [("site:app", SETTINGS)]


def test_the_file_may_be_in_a_variable(served: Calls) -> None:
    Path("server.toml").write_text(FILE)
    assert invoke(CONFIG="server.toml").exit_code == 0
    assert served == [("site:app", SETTINGS)]


def test_a_project_in_the_working_directory_is_taken(served: Calls) -> None:
    write_project()
    assert invoke().exit_code == 0
    assert served == [("site:app", SETTINGS)]


def test_a_named_file_goes_before_the_project(served: Calls) -> None:
    write_project()
    Path("server.toml").write_text("port = 2\n")
    assert invoke("main:app", "--config", "server.toml").exit_code == 0
    assert served == [("main:app", {"port": 2})]


def test_options_and_variables_go_before_the_file(served: Calls) -> None:
    write_project()
    assert invoke("main:app", "--port", "3", HEADERS="B: 2", ACCESS_LOG="true").exit_code == 0
    expected = {"port": 3, "headers": (("B", "2"),), "reload_dirs": "src", "access_log": True}
    assert served == [("main:app", expected)]


def test_a_project_without_the_table_sets_nothing(served: Calls) -> None:
    Path("pyproject.toml").write_text("[tool.other]\nport = 1\n")
    assert invoke("main:app").exit_code == 0
    assert served == [("main:app", {})]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("port = 1\nprot = 2\n", "prot: there is no such setting; did you mean port?"),
        ('port = "1"\n', "port: '1' is not a whole number"),
        ("port = \n", "Invalid value (at line 1, column 8)"),
    ],
)
def test_a_mistake_in_the_file_is_one_line(served: Calls, text: str, fault: str) -> None:
    Path("bad.toml").write_text(text)
    assert_one_line(invoke("main:app", "--config", "bad.toml"), f"Invalid value for '--config': bad.toml: {fault}")
    assert served == []


def test_a_file_that_is_not_there_is_one_line() -> None:
    line = "Invalid value for '--config': no.toml: No such file or directory"
    assert_one_line(invoke("main:app", "--config", "no.toml"), line)
