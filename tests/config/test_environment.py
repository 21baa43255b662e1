"""Environment variables from a file, and who loads them."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.request import urlopen

import pytest
from support.server_process import ServerProcess
from support.waiting import DEADLINE

from threadserve import Config, Server
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


APP = """
import os

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": os.environ["GREETING"].encode()})
"""


@pytest.mark.parametrize("options", [(), ("--workers", "2"), ("--reload",)], ids=lambda options: options[:1] or "alone")
def test_the_file_may_be_a_pipe(tmp_path: Path, options: Sequence[str]) -> None:
    """A pipe can be read once only, in whichever process the application then is."""
    (tmp_path / "code.py").write_text(APP)
    reader, writer = os.pipe()
    os.write(writer, b"GREETING=hello\n")
    os.close(writer)
    path = f"/dev/fd/{reader}"
    with ServerProcess(
        "code:app", "--app-dir", str(tmp_path), "--env-file", path, *options, cwd=tmp_path, pass_fds=[reader]
    ) as server:
        os.close(reader)
        with urlopen(f"http://{server.host}:{server.port}/", timeout=DEADLINE) as response:
            assert response.read() == b"hello"


def test_a_server_loads_the_file_and_its_configuration_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    (tmp_path / "env").write_text("ONE=1\nFORWARDED_ALLOW_IPS=nginx\n")
    config = Config("code:app", env_file=tmp_path / "env", log_config=None)
    assert "ONE" not in os.environ
    with pytest.raises(ConfigError, match=r"^forwarded_allow_ips: \$FORWARDED_ALLOW_IPS: 'nginx' is "):
        Server(config)
    assert os.environ["ONE"] == "1"
