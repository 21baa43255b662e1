"""What `--bind`, `--uds` and `--fd` stand for, alone and several at once."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.server_process import ServerProcess
from support.waiting import DEADLINE

from threadserve import Config
from threadserve.errors import BindError, ConfigError
from threadserve.listening.listeners import open_listeners
from threadserve.listening.tcp import Listeners

APP = "examples.hello:app"


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExitStack]:
    monkeypatch.chdir(tmp_path)
    with ExitStack() as opened:
        yield opened


def opened(stack: ExitStack, **settings: Any) -> Listeners:
    return [stack.enter_context(listener) for listener in open_listeners(Config("main:app", **settings))]


def reserved_port(stack: ExitStack) -> int:
    """A port that nobody but a server that is given it can bind to: a socket has it that does not listen."""
    holder = stack.enter_context(socket.socket())
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return int(holder.getsockname()[1])


def test_every_address_is_bound(stack: ExitStack) -> None:
    given = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    port = reserved_port(stack)
    listeners = opened(stack, bind=[f"127.0.0.1:{port}", "unix:a.sock", f"fd://{given.fileno()}"])
    names = [listener.getsockname() for listener in listeners]
    assert names == [("127.0.0.1", port), "a.sock", given.getsockname()]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("127.0.0.1:0", "127.0.0.1"),
        (":0", "0.0.0.0"),
        ("[::1]:0", "::1"),
        ("unix:b.sock", "b.sock"),
        ("unix://b.sock", "b.sock"),
    ],
)
def test_how_an_address_is_written(stack: ExitStack, address: str, name: str) -> None:
    try:
        names = [listener.getsockname() for listener in opened(stack, bind=[address])]
    except BindError as error:
        pytest.skip(f"the system has no such address: {error}")
    assert name in [each if isinstance(each, str) else each[0] for each in names]


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("", "'' is not HOST:PORT, [IPv6]:PORT, unix:PATH or fd://N"),
        ("::1:80", "'::1:80' is not HOST:PORT, [IPv6]:PORT, unix:PATH or fd://N"),
        ("a:b", "'a:b' is not HOST:PORT, [IPv6]:PORT, unix:PATH or fd://N"),
        ("localhost:65536", "'localhost:65536' has a port above 65535"),
        ("fd://x", "'fd://x' has no number after fd://"),
        ("fd://999", "999 is not an open socket: Bad file descriptor"),
    ],
)
def test_a_bad_address_is_named_and_nothing_stays_bound(stack: ExitStack, address: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        opened(stack, bind=["unix:c.sock", address])
    assert (refused.value.option, refused.value.problem) == ("bind", problem)
    assert not Path("c.sock").exists()


def test_what_is_no_listening_socket_is_refused(stack: ExitStack) -> None:
    with Path("file").open("w") as file, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        for descriptor, problem in [(file.fileno(), "is not an open socket"), (datagrams.fileno(), "is not a stream")]:
            with pytest.raises(ConfigError, match=f"fd: {descriptor} {problem}"):
                opened(stack, fd=descriptor)


def test_a_descriptor_stays_its_owners(stack: ExitStack) -> None:
    given = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    for listener in opened(stack, fd=given.fileno()):
        listener.close()
    stack.enter_context(socket.create_connection(given.getsockname()))


@pytest.mark.parametrize(
    ("settings", "option"),
    [({"uds": "a", "fd": 3}, "fd"), ({"uds": "a", "bind": ["b:1"]}, "bind"), ({"fd": 3, "bind": ["b:1"]}, "bind")],
)
def test_only_one_of_them_can_be_meant(settings: dict[str, Any], option: str) -> None:
    with pytest.raises(ConfigError, match=f"{option}: cannot be combined with"):
        Config("main:app", **settings)


def test_a_server_on_several_addresses(stack: ExitStack, tmp_path: Path) -> None:
    ports = [reserved_port(stack), reserved_port(stack)]
    addresses = [f"127.0.0.1:{port}" for port in ports] + ["unix:d.sock"]
    options = [option for address in addresses for option in ("--bind", address)]
    with ServerProcess(APP, *options, "--threads", "2", cwd=tmp_path) as server:
        server.wait_for_line("running on unix socket d.sock")
        for port in ports:
            assert httpx.get(f"http://127.0.0.1:{port}/", timeout=DEADLINE).status_code == 200
        with httpx.Client(transport=httpx.HTTPTransport(uds="d.sock"), timeout=DEADLINE) as client:
            assert client.get("http://any/").status_code == 200
        assert server.stop() == 0


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_a_server_on_an_inherited_descriptor(stack: ExitStack, tmp_path: Path, family: socket.AddressFamily) -> None:
    address: Any = ("127.0.0.1", 0) if family == socket.AF_INET else "e.sock"
    given = stack.enter_context(socket.socket(family))
    given.bind(address)
    given.listen()
    os.set_inheritable(given.fileno(), True)
    server = ServerProcess(APP, "--fd", str(given.fileno()), cwd=tmp_path, pass_fds=[given.fileno()])
    with server:
        transport = httpx.HTTPTransport(uds=None if family == socket.AF_INET else "e.sock")
        port = given.getsockname()[1] if family == socket.AF_INET else 80
        with httpx.Client(transport=transport, timeout=DEADLINE) as client:
            assert client.get(f"http://127.0.0.1:{port}/").status_code == 200
        assert server.stop() == 0
    # The queue is its owner's: who connects now waits for the next server.
    with socket.socket(family) as client_socket:
        client_socket.connect(given.getsockname())


def test_a_bad_descriptor_is_one_line() -> None:
    server = ServerProcess(APP, "--fd", "77")
    server.start(wait=False)
    assert server.wait(3 * DEADLINE) == ConfigError.exit_code
    assert server.stderr == "Error: Invalid value for '--fd': 77 is not an open socket: Bad file descriptor\n"
    server.kill()
