"""What `--bind`, `--uds` and `--fd` stand for, alone and several at once."""

import os
import select
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
from threadserve.listening.tcp import Listeners, format_urls
from threadserve.running import warn_of_unused

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


@pytest.mark.parametrize("settings", [{"host": "[::1]"}, {"host": "::1"}, {"bind": ["[::1]:0"]}], ids=str)
def test_an_address_of_ipv6_may_stand_in_brackets(stack: ExitStack, settings: dict[str, Any]) -> None:
    needs_ipv6()
    [listener] = opened(stack, port=0, **settings)
    assert listener.getsockname()[0] == "::1"


def test_several_hosts_have_the_same_port(stack: ExitStack) -> None:
    listeners = opened(stack, host=["127.0.0.1", "127.0.0.2", "127.0.0.1"], port=0)
    names = [listener.getsockname() for listener in listeners]
    assert [name[0] for name in names] == ["127.0.0.1", "127.0.0.2"]
    assert names[0][1] == names[1][1]


def test_a_bad_host_among_several_is_named(stack: ExitStack) -> None:
    with pytest.raises(BindError, match=r"cannot bind to host 'bad\.\.host': "):
        opened(stack, host=["127.0.0.1", "bad..host"], port=0)


def needs_ipv6() -> None:
    """Skips a test where it cannot be."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return
    except OSError as error:
        pytest.skip(f"the system has no IPv6: {error}")


def families_reached(listeners: Listeners) -> list[str]:
    """The addresses of the listener that takes a client of IPv4, and of the one that takes a client of IPv6."""
    for listener in listeners:
        listener.listen()
    reached = []
    for host in ("127.0.0.1", "::1"):
        with socket.create_connection((host, listeners[0].getsockname()[1]), DEADLINE):
            readable, _, _ = select.select(listeners, [], [], DEADLINE)
            [listener] = readable
            listener.accept()[0].close()
            reached.append(listener.getsockname()[0])
    return reached


@pytest.mark.parametrize("settings", [{"host": "::", "port": 0}, {"host": "[::]", "port": 0}, {"bind": ["[::]:0"]}])
def test_all_of_ipv6_takes_ipv4_too(stack: ExitStack, settings: dict[str, Any]) -> None:
    needs_ipv6()
    if has_v6_only_by_default():
        pytest.skip("the system keeps IPv4 from such sockets (bindv6only)")
    assert families_reached(opened(stack, **settings)) == ["::", "::"]


def has_v6_only_by_default() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        return bool(probe.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))


@pytest.mark.parametrize("binds", [["0.0.0.0:{}", "[::]:{}"], ["[::]:{}", "127.0.0.1:{}"], [":{}"]], ids=str)
def test_ipv4_with_an_address_of_its_own(stack: ExitStack, binds: list[str]) -> None:
    needs_ipv6()
    port = reserved_port(stack)
    listeners = opened(stack, bind=[each.format(port) for each in binds])
    v4, v6 = families_reached(listeners)
    assert v4 in ("0.0.0.0", "127.0.0.1")
    assert v6 == "::"


@pytest.mark.parametrize("distribute", ["least-busy", "kernel"])
def test_a_server_on_both_families(distribute: str) -> None:
    needs_ipv6()
    options = ["--threads", "2", "--distribute", distribute, "--host", ""]
    with ServerProcess(APP, *options) as server:
        first = server.wait_for_line(r"running on http://0\.0\.0\.0:(\d+) \(")
        second = server.wait_for_line(r"running on http://\[::\]:(\d+) \(")
        assert first[1] == second[1]
        for host in ("127.0.0.1", "[::1]"):
            assert httpx.get(f"http://{host}:{first[1]}/", timeout=DEADLINE).status_code == 200
        again = ServerProcess(APP, "--host", "::", "--port", first[1])
        again.start(wait=False)
        assert again.wait(3 * DEADLINE) == BindError.exit_code
        assert again.stderr.splitlines()[-1] == f"Error: cannot bind to [::]:{first[1]}: address already in use"
        again.kill()
        assert server.stop() == 0


def test_the_log_says_where_ipv4_is_not_taken(stack: ExitStack) -> None:
    needs_ipv6()
    only = stack.enter_context(socket.socket(socket.AF_INET6))
    only.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    only.bind(("::", 0))
    only.listen()
    beside = stack.enter_context(socket.create_server(("0.0.0.0", only.getsockname()[1])))
    url = f"http://[::]:{only.getsockname()[1]}"
    assert format_urls([only], "http") == [f"{url} for IPv6 only"]
    assert format_urls([only, beside], "http")[0] == url
    loopback = stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6))
    assert format_urls([loopback], "http") == [f"http://[::1]:{loopback.getsockname()[1]}"]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--bind", "127.0.0.1:0", "--port", "8000"], "--port is not used: --bind says where to listen."),
        (
            ["--host", "127.0.0.1", "--port", "8000", "--uds", "f.sock"],
            "--host and --port are not used: --uds says where to listen.",
        ),
        (["--fd", "{fd}", "--workers", "2", "--port", "8000"], "--port is not used: --fd says where to listen."),
    ],
)
def test_a_host_or_port_that_is_not_used_is_named(
    stack: ExitStack, tmp_path: Path, options: list[str], line: str
) -> None:
    given = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    written = [option.format(fd=given.fileno()) for option in options]
    with ServerProcess(APP, *written, cwd=tmp_path, pass_fds=[given.fileno()]) as server:
        assert [each for each in server.stderr.splitlines() if "not used" in each] == [f"WARNING:  {line}"]
        assert server.stop() == 0


@pytest.mark.parametrize("settings", [{"bind": ["127.0.0.1:0"]}, {"host": "127.0.0.1", "port": 1, "bind": ()}])
def test_nothing_is_said_of_what_is_used(settings: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    warn_of_unused(settings)
    assert not caplog.messages


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


@pytest.mark.parametrize("settings", [{"uds": "a.sock"}, {"bind": ["127.0.0.1:0", "unix:a.sock"]}])
def test_the_admin_address_is_another(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"admin_bind: the application is served at 'a\.sock'"):
        Config("main:app", admin_bind="unix:a.sock", **settings)
    Config("main:app", admin_bind="unix:b.sock", **settings)


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
