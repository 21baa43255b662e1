"""Certificates that are renewed while the server serves."""

import asyncio
import logging
import signal
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.apps import hello
from support.certificates import Authority, Identity
from support.embedded_server import Serve, servers
from support.error_log import ErrorLog
from support.raw_client import RawClient
from support.server_process import ServerProcess
from support.tls_client import ConnectTls, encrypt, tls_socket
from support.waiting import wait_until

APP = "support.steered_app:app"
TESTS = str(Path(__file__).parents[1])


@pytest.fixture
def local(tmp_path: Path) -> Authority:
    """An authority of this test's alone."""
    return Authority(tmp_path)


@pytest.fixture
def current(local: Authority) -> Identity:
    """The identity that the server has, whose files are replaced."""
    return local.sign("current")


def shown(server: Any, authority: Authority) -> str:
    """The certificate that a new client is shown."""
    client = RawClient(server.host, server.port)
    try:
        encrypt(client, authority.client_context())
        return ssl.DER_cert_to_PEM_cert(tls_socket(client).getpeercert(binary_form=True) or b"")
    finally:
        client.close()


def wait_until_shown(server: Any, authority: Authority, identity: Identity) -> None:
    """Waits until a new client is shown this identity."""
    wait_until(lambda: shown(server, authority) == identity.certificate.read_text(), "the new certificate")


@pytest.mark.parametrize("settings", [{"threads": 1}, {"threads": 3, "distribute": "round-robin"}])
def test_files_that_change(
    serve: Serve, connect_tls: ConnectTls, local: Authority, current: Identity, settings: dict[str, Any]
) -> None:
    server = serve(hello, timeout_keep_alive=60, **settings, **current.settings)
    before = connect_tls(server, local.client_context())
    assert before.get("/a").body == b"/a"
    first = current.certificate.read_text()
    assert shown(server, local) == first
    renewed = local.sign("renewed")
    current.replace(renewed)
    wait_until_shown(server, local, renewed)
    assert [shown(server, local) for _ in range(6)] == [renewed.certificate.read_text()] * 6
    assert before.get("/b").body == b"/b"


def test_a_link_that_points_to_another_folder(serve: Serve, local: Authority, tmp_path: Path) -> None:
    for name in ("one", "two"):
        identity = local.sign(name)
        folder = tmp_path / f"{name}.folder"
        folder.mkdir()
        identity.certificate.rename(folder / "tls.crt")
        identity.key.rename(folder / "tls.key")
    link = tmp_path / "current.folder"
    link.symlink_to("one.folder")
    server = serve(hello, ssl_certfile=link / "tls.crt", ssl_keyfile=link / "tls.key")
    assert shown(server, local) == (tmp_path / "one.folder" / "tls.crt").read_text()
    (tmp_path / "next").symlink_to("two.folder")
    (tmp_path / "next").rename(link)
    wait_until(lambda: shown(server, local) == (tmp_path / "two.folder" / "tls.crt").read_text(), "the other folder")


def test_a_broken_certificate_leaves_the_old_one(
    serve: Serve, local: Authority, current: Identity, error_log: ErrorLog
) -> None:
    first = current.certificate.read_text()
    server = serve(hello, **current.settings)
    current.key.write_text("no key")
    record = error_log.expect(text="cannot be reloaded")
    assert record.exc_info is None
    assert record.getMessage() == (
        "The TLS certificates cannot be reloaded, the old ones stay: "
        f"ssl_keyfile: no private key in PEM in {current.key}"
    )
    assert shown(server, local) == first
    renewed = local.sign("renewed")
    current.replace(renewed)
    wait_until_shown(server, local, renewed)


def test_a_factory_that_fails_leaves_the_old_one(
    serve: Serve, local: Authority, current: Identity, error_log: ErrorLog
) -> None:
    calls: list[object] = []

    def make(config: object, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        calls.append(config)
        if len(calls) > 1:
            raise LookupError("the vault is closed")
        return default()

    first = current.certificate.read_text()
    server = serve(hello, ssl_context_factory=make, **current.settings)
    current.replace(local.sign("renewed"))
    error_log.expect(LookupError, "the vault is closed")
    assert shown(server, local) == first


@pytest.mark.parametrize("threads", [1, 2])
def test_a_successor_of_a_dead_loop_encrypts_with_what_is_current(
    local: Authority, current: Identity, error_log: ErrorLog, threads: int
) -> None:
    async def die() -> None:
        raise SystemExit

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/die":
            await asyncio.gather(asyncio.create_task(die()))
        await hello(scope, receive, send)

    with servers(lifespan="off", threads=threads, **current.settings) as serve:
        server = serve(app)
        renewed = local.sign("renewed")
        current.replace(renewed)
        wait_until_shown(server, local, renewed)
        client = encrypt(RawClient(server.host, server.port), local.client_context())
        client.send(b"GET /die HTTP/1.1\r\nHost: a\r\n\r\n")
        error_log.expect(SystemExit, "died")
        error_log.expect(text="Cut off 1 request at once: GET /die")
        client.close()
        for _ in range(4):
            wait_until_shown(server, local, renewed)


def test_the_line_that_tells(
    serve: Serve, local: Authority, current: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "threadserve.error")
    server = serve(hello, **current.settings)
    renewed = local.sign("renewed")
    current.replace(renewed)
    wait_until_shown(server, local, renewed)

    def lines() -> list[str]:
        return [record.getMessage() for record in caplog.records if "TLS" in record.getMessage()]

    wait_until(lines, "the line")
    assert lines() == ["Reloaded the TLS certificates."]


def test_sighup_reloads(local: Authority, current: Identity) -> None:
    with ServerProcess(APP, "--app-dir", TESTS, *current.options) as server:
        server.send_signal(signal.SIGHUP)
        server.wait_for_line("Reloaded the TLS certificates.")
        renewed = local.sign("renewed")
        current.replace(renewed)
        server.send_signal(signal.SIGHUP)
        wait_until_shown(server, local, renewed)
        assert server.stop() == 0


def test_the_address_in_the_log(current: Identity) -> None:
    with ServerProcess(APP, "--app-dir", TESTS, *current.options) as server:
        assert f"https://127.0.0.1:{server.port} " in server.stderr
