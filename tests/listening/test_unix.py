"""Unix sockets: whose file it is, who may connect, and what happens to those that were left behind."""

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.server_process import ServerProcess
from support.waiting import DEADLINE

from threadserve.errors import BindError
from threadserve.listening.unix import UnixListener, bind_unix

APP = "examples.hello:app"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A relative path, for absolute ones may be longer than a socket's can be."""
    monkeypatch.chdir(tmp_path)
    return "app.sock"


@pytest.fixture
def listener(path: str) -> Iterator[UnixListener]:
    with bind_unix(path, None) as bound:
        yield bound


def permissions(path: str) -> str:
    return f"{stat.S_IMODE(Path(path).stat().st_mode):o}"


def leave_behind(path: str, mode: int = 0o600) -> None:
    """A socket's file without a server, as one that was killed leaves."""
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(path)
    Path(path).chmod(mode)


@pytest.mark.parametrize(("asked", "set_to"), [(None, "666"), ("660", "660"), (0o600, "600"), ("0700", "700")])
def test_the_permissions_are_those_asked_for(path: str, asked: str | int | None, set_to: str) -> None:
    with bind_unix(path, asked):
        assert permissions(path) == set_to


@pytest.mark.parametrize(("asked", "set_to"), [(None, "640"), ("666", "666")])
def test_a_socket_left_behind_is_replaced_and_its_permissions_kept(path: str, asked: str | None, set_to: str) -> None:
    leave_behind(path, 0o640)
    with bind_unix(path, asked) as listener:
        listener.listen()
        assert permissions(path) == set_to
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)


def test_a_socket_that_somebody_listens_on_is_left_alone(path: str, listener: UnixListener) -> None:
    listener.listen(1)
    with pytest.raises(BindError, match=r"cannot bind to unix:app\.sock: address already in use"):
        bind_unix(path, None)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def test_a_full_queue_is_somebodys_too(path: str, listener: UnixListener) -> None:
    listener.listen(0)
    clients = []
    for _ in range(5):
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        client.connect_ex(path)
        clients.append(client)
    with pytest.raises(BindError, match="address already in use"):
        bind_unix(path, None)
    for client in clients:
        client.close()


def test_a_file_that_is_no_socket_is_not_removed(path: str) -> None:
    Path(path).write_text("precious")
    with pytest.raises(BindError, match="there is a file that is no socket"):
        bind_unix(path, None)
    assert Path(path).read_text() == "precious"


@pytest.mark.parametrize(("bad", "reason"), [("no/such/folder/a", "No such file"), ("x" * 200, "too long")])
def test_a_path_that_cannot_be_bound_is_named(path: str, bad: str, reason: str) -> None:
    with pytest.raises(BindError, match=f"cannot bind to unix:.*{reason}"):
        bind_unix(bad, None)


def test_closing_takes_the_file_along(path: str) -> None:
    bind_unix(path, None).close()
    assert not Path(path).exists()


def test_a_successors_file_is_left(path: str, listener: UnixListener) -> None:
    Path(path).rename("old.sock")
    with bind_unix(path, None):
        listener.close()
        assert Path(path).exists()


def test_the_file_goes_though_the_working_directory_changed(path: str, tmp_path: Path) -> None:
    listener = bind_unix(path, None)
    os.chdir("/")
    listener.close()
    assert not (tmp_path / path).exists()


@pytest.mark.parametrize("left_behind", [False, True])
def test_a_link_stays_and_the_socket_is_where_it_leads(path: str, tmp_path: Path, left_behind: bool) -> None:
    Path("run").mkdir()
    Path("first").symlink_to("second")
    Path("second").symlink_to("run/app.sock")
    if left_behind:
        leave_behind("run/app.sock", 0o640)
    with bind_unix("first", None) as listener:
        listener.listen()
        assert listener.getsockname() == "run/app.sock"
        assert permissions("first") == ("640" if left_behind else "666")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect("first")
        with pytest.raises(BindError, match="cannot bind to unix:first: address already in use"):
            bind_unix("first", None)
    assert Path("first").readlink() == Path("second")
    assert Path("second").readlink() == Path("run/app.sock")
    assert not list(Path("run").iterdir())


def test_a_link_to_itself_is_named(path: str) -> None:
    Path(path).symlink_to(path)
    with pytest.raises(BindError, match=r"cannot bind to unix:app\.sock: Too many levels of symbolic links"):
        bind_unix(path, None)
    assert Path(path).is_symlink()


@pytest.mark.parametrize(
    "options", [["--threads", "1"], ["--threads", "3"], ["--threads", "3", "--distribute", "kernel"]]
)
def test_a_server_on_a_unix_socket(path: str, tmp_path: Path, options: list[str]) -> None:
    with ServerProcess(APP, "--uds", path, *options, cwd=tmp_path) as server:
        with httpx.Client(transport=httpx.HTTPTransport(uds=path), timeout=DEADLINE) as client:
            bodies = {client.get("http://any/", headers={"connection": "close"}).text for _ in range(20)}
        assert all(body.startswith("Hello from ") for body in bodies)
        assert server.stop() == 0
        assert not Path(path).exists()
        assert '- "GET / HTTP/1.1" 200 OK' in server.stdout
