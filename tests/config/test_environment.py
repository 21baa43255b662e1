"""Environment variables from a file."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from threadserve.config.environment import load_env_file
from threadserve.errors import ConfigError


@pytest.fixture(autouse=True)
def _dotenv() -> Iterator[None]:
    """Puts the environment back, which the tests change through python-dotenv."""
    pytest.importorskip("dotenv", reason="python-dotenv is optional")
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def test_variables_are_set(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# comment\nexport ONE=1\nTWO='a b' # comment\nTHREE=${ONE}3\nÉ=é\n", encoding="utf-8")
    load_env_file(path)
    assert [os.environ[name] for name in ("ONE", "TWO", "THREE", "É")] == ["1", "a b", "13", "é"]


def test_variables_that_are_set_already_keep_their_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", "mine")
    monkeypatch.setenv("EMPTY", "")
    (tmp_path / "env").write_text("ONE=1\nEMPTY=1\nTWO=2\n")
    load_env_file(str(tmp_path / "env"))
    assert [os.environ[name] for name in ("ONE", "EMPTY", "TWO")] == ["mine", "", "2"]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as missing:
        load_env_file(tmp_path / "none")
    assert str(missing.value) == f"env_file: {tmp_path}/none: No such file or directory"
    with pytest.raises(ConfigError) as folder:
        load_env_file(tmp_path)
    assert str(folder.value) == f"env_file: {tmp_path}: Is a directory"


@pytest.mark.parametrize("content", [b"ONE=\xff", b"ONE=a\0b"])
def test_values_that_no_variable_can_have(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "env").write_bytes(content)
    with pytest.raises(ConfigError, match=r"^env_file: .+/env: .+$"):
        load_env_file(tmp_path / "env")
    assert "ONE" not in os.environ


def test_without_python_dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dotenv", None)
    with pytest.raises(ConfigError) as raised:
        load_env_file(tmp_path / "env")
    assert str(raised.value) == (f"env_file: reading {tmp_path}/env needs python-dotenv; pip install python-dotenv")
