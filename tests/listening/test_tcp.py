"""The listening sockets: addresses, ports that are taken or forbidden, and ports that are shared."""

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from support.server_process import ServerProcess
from support.waiting import DEADLINE, wait_until

from threadserve.errors import BindError
from threadserve.listening import tcp as sockets
from threadserve.listening.tcp import (
    Listeners,
    bind_all,
    bind_sibling,
    close_all,
    enable_port_sharing,
    open_loop_listeners,
    resolve_hosts,
)

APP = "examples.hello:app"
BOTH = ["127.0.0.1", "::1"]
Bind = Callable[[str, int], Listeners]

needs_reuseport = pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="the system has no SO_REUSEPORT")


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="the system has no IPv6")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def bind(stack: ExitStack) -> Bind:
    """`bind_all`, with all that it binds closed in the end."""

    def bind_and_register(host: str, port: int) -> Listeners:
        bound = bind_all(resolve_hosts(host, port))
        stack.callback(close_all, bound)
        return bound

    return bind_and_register


@pytest.fixture
def taken(stack: ExitStack) -> int:
    """A port of 127.0.0.1 on which somebody listens."""
    return int(stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1])


@pytest.fixture
def dual_host(monkeypatch: pytest.MonkeyPatch) -> str:
    """A host with an IPv4 and an IPv6 address, whatever this system's `localhost` has."""
    found = socket.getaddrinfo

    def getaddrinfo(host: str, *args: int, **options: int) -> list[object]:
        hosts = BOTH if host == "both.test" else [host]
        return [entry for each in hosts for entry in found(each, *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return "both.test"


def ports(listeners: Listeners) -> list[int]:
    return [listener.getsockname()[1] for listener in listeners]


def test_a_port_that_is_asked_for(bind: Bind) -> None:
    # Held, so that nobody else takes it, and free for another as long as nobody listens.
    free = ports(bind("127.0.0.1", 0))[0]
    assert bind("127.0.0.1", free)[0].getsockname() == ("127.0.0.1", free)


def test_a_bound_socket_does_not_block_and_does_not_listen_yet(bind: Bind) -> None:
    listener = bind("127.0.0.1", 0)[0]
    assert not listener.getblocking()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(listener.getsockname(), DEADLINE)


def test_a_taken_port_is_named(bind: Bind, taken: int) -> None:
    with pytest.raises(BindError) as failure:
        bind("127.0.0.1", taken)
    assert str(failure.value) == f"cannot bind to 127.0.0.1:{taken}: address already in use"
    assert failure.value.exit_code == 3


def test_a_port_that_waits_for_late_packets_is_free(bind: Bind) -> None:
    listener = bind("127.0.0.1", 0)[0]
    port = ports([listener])[0]
    listener.listen()
    client = socket.create_connection(listener.getsockname(), DEADLINE)
    listener.settimeout(DEADLINE)
    served, _ = listener.accept()
    # The side that closes first keeps the port in TIME_WAIT.
    served.close()
    assert client.recv(1) == b""
    client.close()
    listener.close()
    assert bind("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("no.such.host.invalid", "cannot bind to host 'no.such.host.invalid': "),
        ("bad..host", "cannot bind to host 'bad..host': "),
        ("a" * 300, f"cannot bind to host '{'a' * 300}': "),
        ("192.0.2.1", "cannot bind to 192.0.2.1:0: no interface of this machine has that address"),
    ],
)
def test_a_bad_host_is_named(bind: Bind, host: str, reason: str) -> None:
    with pytest.raises(BindError) as failure:
        bind(host, 0)
    assert str(failure.value).startswith(reason)
    assert "\n" not in str(failure.value)


def test_a_port_without_the_rights_to_it(bind: Bind, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(listener: socket.socket, address: tuple[str, int]) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket.socket, "bind", refuse, raising=False)
    with pytest.raises(BindError, match=r"127\.0\.0\.1:80: permission denied; ports below 1024 need special rights"):
        bind("127.0.0.1", 80)


@needs_ipv6
def test_ipv6(bind: Bind, stack: ExitStack) -> None:
    listener = bind("::1", 0)[0]
    assert listener.family == socket.AF_INET6
    port = ports([listener])[0]
    listener.listen()
    with pytest.raises(BindError, match=rf"^cannot bind to \[::1\]:{port}: address already in use$"):
        bind("::1", port)
    # The wildcard is for IPv6 alone, so that the same port of IPv4 is another's.
    for _ in range(10):
        wildcard = bind("::", 0)[0]
        # Unless it is taken there by chance.
        with suppress(BindError):
            assert bind("0.0.0.0", ports([wildcard])[0])
            break
    else:
        pytest.fail("no port of the wildcard's is free for IPv4")


@needs_ipv6
def test_every_address_of_a_host_gets_the_same_port(bind: Bind, dual_host: str) -> None:
    listeners = bind(dual_host, 0)
    assert [listener.getsockname()[0] for listener in listeners] == BOTH
    assert len(set(ports(listeners))) == 1


@needs_ipv6
def test_a_free_port_is_free_on_every_address(bind: Bind, dual_host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[int] = []
    bind_one = sockets.bind_tcp

    def bind_with_bad_luck(
        family: socket.AddressFamily, address: tuple[str | int, ...], **options: bool
    ) -> socket.socket:
        if family == socket.AF_INET6 and (len(refused) < 3 or address[1] in refused):
            refused.append(int(address[1]))
            raise sockets.make_bind_error(address, OSError(errno.EADDRINUSE, "")) from OSError(errno.EADDRINUSE, "")
        return bind_one(family, address, **options)

    monkeypatch.setattr(sockets, "bind_tcp", bind_with_bad_luck)
    assert ports(bind(dual_host, 0))[0] not in refused
    assert len(refused) >= 3


@needs_ipv6
def test_a_port_taken_on_one_address_of_a_host(bind: Bind, dual_host: str) -> None:
    # On the other nobody listens, so that it is free there.
    listener = bind(dual_host, 0)[1]
    listener.listen()
    port = ports([listener])[0]
    with pytest.raises(BindError, match=rf"\[::1\]:{port}: address already in use"):
        bind(dual_host, port)
    # Nothing is left of the other address.
    assert bind("127.0.0.1", port)


@pytest.mark.parametrize("missing", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
def test_an_address_that_the_system_does_not_have_is_left_out(
    bind: Bind, dual_host: str, monkeypatch: pytest.MonkeyPatch, missing: int
) -> None:
    class WithoutIPv6(socket.socket):
        def __init__(self, family: int = -1, *args: int, **options: int) -> None:
            if family == socket.AF_INET6 and missing == errno.EAFNOSUPPORT:
                raise OSError(missing, os.strerror(missing))
            super().__init__(family, *args, **options)

        def bind(self, address: tuple[str, int]) -> None:  # type: ignore[override]
            if self.family == socket.AF_INET6:
                raise OSError(missing, os.strerror(missing))
            super().bind(address)

    monkeypatch.setattr(socket, "socket", WithoutIPv6)
    assert [listener.getsockname()[0] for listener in bind(dual_host, 0)] == ["127.0.0.1"]
    with pytest.raises(BindError, match=r"^cannot bind to \[::1\]:0: "):
        bind("::1", 0)


@needs_reuseport
@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
def test_siblings_share_a_port_and_its_connections(bind: Bind, stack: ExitStack, host: str) -> None:
    first = bind(host, 0)[0]
    first.listen()
    enable_port_sharing(first)
    sibling = stack.enter_context(bind_sibling(first))
    sibling.listen()
    assert sibling.getsockname() == first.getsockname()
    for _ in range(64):
        stack.enter_context(socket.create_connection(first.getsockname()[:2], DEADLINE))
    accepted = [0, 0]

    def accept_more() -> bool:
        for number, listener in enumerate((first, sibling)):
            accepted[number] += accept_all(listener, stack)
        return sum(accepted) == 64

    wait_until(accept_more, "all connections")
    assert all(accepted)


def accept_all(listener: socket.socket, stack: ExitStack) -> int:
    count = 0
    while True:
        try:
            stack.enter_context(listener.accept()[0])
        except BlockingIOError:
            return count
        count += 1


def test_nobody_can_be_bound_beside_a_listener_that_is_not_shared(bind: Bind) -> None:
    first = bind("127.0.0.1", 0)[0]
    first.listen()
    with pytest.raises(BindError, match="address already in use"):
        bind_sibling(first)


@needs_reuseport
def test_a_second_server_fails_though_the_first_shares_its_port(bind: Bind) -> None:
    first = bind("127.0.0.1", 0)[0]
    first.listen()
    enable_port_sharing(first)
    with pytest.raises(BindError, match="address already in use"):
        bind("127.0.0.1", ports([first])[0])


def test_of_two_servers_that_start_at_once_one_fails(bind: Bind) -> None:
    first = bind("127.0.0.1", 0)[0]
    second = bind("127.0.0.1", ports([first])[0])[0]
    first.listen()
    enable_port_sharing(first)
    with pytest.raises(OSError, match="in use") as failure:
        second.listen()
    assert failure.value.errno == errno.EADDRINUSE


def test_listeners_per_loop(bind: Bind, stack: ExitStack) -> None:
    listeners = bind("127.0.0.1", 0)
    assert open_loop_listeners(listeners, 1, "least-busy") == [listeners]
    assert open_loop_listeners(listeners, 3, "least-busy") == []
    assert open_loop_listeners(listeners, 3, "round-robin") == []
    per_loop = open_loop_listeners(listeners, 3, "kernel")
    stack.callback(close_all, [sibling for siblings in per_loop[1:] for sibling in siblings])
    assert per_loop[0] == listeners
    assert [ports(siblings) for siblings in per_loop] == [ports(listeners)] * 3


def test_a_sibling_that_cannot_be_bound_leaves_none_open(bind: Bind, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: Listeners = []

    def beside(listener: socket.socket) -> socket.socket:
        if len(opened) == 2:
            raise BindError("no more")
        opened.append(bind_sibling(listener))
        return opened[-1]

    monkeypatch.setattr(sockets, "bind_sibling", beside)
    with pytest.raises(BindError, match="no more"):
        open_loop_listeners(bind("127.0.0.1", 0), 4, "kernel")
    assert [sibling.fileno() for sibling in opened] == [-1, -1]


@pytest.mark.parametrize("distribute", ["least-busy", "kernel"])
def test_the_command_line_says_that_another_server_has_the_port(distribute: str) -> None:
    options = ["--threads", "2", "--distribute", distribute]
    with ServerProcess(APP, *options) as first:
        second = ServerProcess(APP, *options, "--port", str(first.port))
        second.start(wait=False)
        try:
            assert second.wait(3 * DEADLINE) == 3
            assert second.stderr.splitlines()[-1] == (
                f"Error: cannot bind to 127.0.0.1:{first.port}: address already in use"
            )
            assert "Traceback" not in second.stderr
        finally:
            second.kill()
        assert first.stop() == 0
