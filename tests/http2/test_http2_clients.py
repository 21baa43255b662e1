"""Real clients of HTTP/2: curl, nghttp and httpx, in clear text, over TLS and on a Unix socket."""

import asyncio
import json
import re
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from support.certificates import Authority, has_openssl
from support.embedded_server import EmbeddedServer, Serve
from support.programs import needs_program, run_program
from support.version_app import app, digest, download
from support.waiting import DEADLINE

UPLOAD = bytes(range(256)) * 12_000
needs_curl = needs_program("curl")
needs_nghttp = needs_program("nghttp")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the clients trust."""
    if not has_openssl():
        pytest.skip("there is no openssl command")
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(serve_shared: Serve) -> EmbeddedServer:
    """In clear text."""
    return serve_shared(app, http2=True, threads=2, lifespan="off")


@pytest.fixture(scope="module")
def tls_server(serve_shared: Serve, authority: Authority) -> EmbeddedServer:
    """Over TLS."""
    return serve_shared(app, http2=True, threads=2, lifespan="off", **authority.sign("server").settings)


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    """A file to be sent, of 3 MB."""
    file = tmp_path / "upload"
    file.write_bytes(UPLOAD)
    return file


def tls_url(server: EmbeddedServer) -> str:
    """The URL of a server with TLS."""
    return f"https://localhost:{server.port}"


# curl


def curl(*options: str | Path, cwd: Path | None = None) -> str:
    """What curl writes on stdout."""
    return run_program("curl", "--silent", "--show-error", "--max-time", "60", *options, cwd=cwd)


@needs_curl
def test_curl_with_prior_knowledge(server: EmbeddedServer) -> None:
    told = curl("--http2-prior-knowledge", "--write-out", " %{http_version} %{http_code}", f"{server.url}/hello")
    assert told == "hello 2 200"


@needs_curl
@pytest.mark.parametrize(("option", "version"), [("--http2", "2"), ("--http1.1", "1.1")])
def test_curl_by_alpn(tls_server: EmbeddedServer, authority: Authority, option: str, version: str) -> None:
    seen = json.loads(curl(option, "--cacert", authority.certificate, f"{tls_url(tls_server)}/seen"))
    assert seen["version"] == version
    assert seen["scheme"] == "https"
    assert seen["headers"]["host"] == f"localhost:{tls_server.port}"


@needs_curl
def test_curl_speaks_http11_on_the_same_port(server: EmbeddedServer) -> None:
    for _ in range(2):
        assert json.loads(curl("--http1.1", f"{server.url}/seen"))["version"] == "1.1"
        assert json.loads(curl("--http2-prior-knowledge", f"{server.url}/seen"))["version"] == "2"


@needs_curl
@pytest.mark.parametrize("data", [[], ["--data-binary", "some"]], ids=["get", "post"])
def test_curl_asks_for_an_upgrade_in_vain(server: EmbeddedServer, data: list[str]) -> None:
    seen = json.loads(curl("--http2", *data, f"{server.url}/seen"))
    assert seen["version"] == "1.1"
    assert seen["headers"]["upgrade"] == "h2c"


@needs_curl
@pytest.mark.parametrize(
    "options",
    [[], ["--header", "Expect: 100-continue"], ["--header", "Content-Length:"]],
    ids=["", "expect", "unsized"],
)
def test_curl_uploads(server: EmbeddedServer, tmp_path: Path, upload: Path, options: list[str]) -> None:
    command = ["--http2-prior-knowledge", *options, "--data-binary", f"@{upload}"]
    assert curl(*command, f"{server.url}/digest") == digest(UPLOAD)
    # What comes back meanwhile has to be taken, or no more of it can be sent.
    curl(*command, "--output", tmp_path / "echo", f"{server.url}/echo")
    assert (tmp_path / "echo").read_bytes() == UPLOAD


@needs_curl
def test_curl_uploads_over_tls(tls_server: EmbeddedServer, authority: Authority, upload: Path) -> None:
    command = ["--http2", "--cacert", str(authority.certificate), "--upload-file", str(upload)]
    assert curl(*command, f"{tls_url(tls_server)}/digest") == digest(UPLOAD)


@needs_curl
def test_curl_asks_for_the_head_alone(tls_server: EmbeddedServer, authority: Authority) -> None:
    url = f"{tls_url(tls_server)}/hello"
    lines = curl("--http2", "--cacert", authority.certificate, "--head", url, url).splitlines()
    assert lines.count("HTTP/2 200 ") == 2
    assert lines.count("content-length: 5") == 2


@needs_curl
def test_curl_downloads(server: EmbeddedServer, tmp_path: Path) -> None:
    size = 20_000_000
    curl("--http2-prior-knowledge", "--output", tmp_path / "body", f"{server.url}/download?size={size}")
    assert (tmp_path / "body").read_bytes() == download(size)


@needs_curl
def test_curl_downloads_over_tls(tls_server: EmbeddedServer, authority: Authority, tmp_path: Path) -> None:
    size = 20_000_000
    trust = ("--http2", "--cacert", authority.certificate)
    curl(*trust, "--output", tmp_path / "body", f"{tls_url(tls_server)}/download?size={size}")
    assert (tmp_path / "body").read_bytes() == download(size)


@needs_curl
def test_curl_asks_in_parallel(tls_server: EmbeddedServer, authority: Authority, tmp_path: Path) -> None:
    # Over TLS, for curl 7.88 cannot use a connection again that it has opened with prior knowledge.
    options = ["--http2", "--cacert", str(authority.certificate), "--parallel", "--write-out", "%{num_connects}\n"]
    url = f"{tls_url(tls_server)}/download?size=[100001-100050]"
    connects = curl(*options, "--output", "body-#1", url, cwd=tmp_path).split()
    assert len(connects) == 50
    assert sum(map(int, connects)) < 50
    for size in range(100_001, 100_051):
        assert (tmp_path / f"body-{size}").read_bytes() == download(size)


@needs_curl
def test_curl_gets_trailers(server: EmbeddedServer) -> None:
    told = curl("--http2-prior-knowledge", "--header", "TE: trailers", "--include", f"{server.url}/trailers")
    assert told.endswith("\n\ncheckedx-checksum: 42\n")


@needs_curl
def test_curl_on_a_unix_socket(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upload: Path) -> None:
    monkeypatch.chdir(tmp_path)
    serve(app, uds="app.sock")
    options = ["--unix-socket", "app.sock", "--http2-prior-knowledge"]
    assert json.loads(curl(*options, "http://example.org/seen"))["version"] == "2"
    assert curl(*options, "--data-binary", f"@{upload}", "http://example.org/digest") == digest(UPLOAD)
    assert json.loads(curl("--unix-socket", "app.sock", "http://example.org/seen"))["version"] == "1.1"


# nghttp


def nghttp(*options: str | Path) -> str:
    """What nghttp writes on stdout."""
    return run_program("nghttp", "--timeout=60s", *options)


def received(told: str, kind: str) -> int:
    """How many frames of a kind nghttp says to have got."""
    return len(re.findall(rf"recv {kind} frame", told))


@needs_nghttp
def test_nghttp_asks_for_several(server: EmbeddedServer) -> None:
    told = nghttp("-v", "-n", f"{server.url}/hello", f"{server.url}/seen", f"{server.url}/download?size=300000")
    assert len(re.findall(r"recv \(stream_id=\d+\) :status: 200", told)) == 3
    assert received(told, "DATA") >= 2 + 300_000 // 16_384
    assert received(told, "GOAWAY") == received(told, "RST_STREAM") == 0


@needs_nghttp
def test_nghttp_asks_many_times(server: EmbeddedServer) -> None:
    assert nghttp("-m", "90", f"{server.url}/hello") == "hello" * 90


@needs_nghttp
@pytest.mark.parametrize(
    "options",
    [
        ["--header", "priority: u=0, i"],
        ["--header", "priority: u=9, ?"],
        ["--no-rfc7540-pri", "--no-dep"],
        ["--weight=256"],
        ["--continuation"],
        ["--padding=255"],
        ["--window-bits=14", "--connection-window-bits=14"],
        ["--header-table-size=0", "--header-table-size=8192"],
        ["--header-table-size=100"],
        ["--encoder-header-table-size=0"],
    ],
    ids=lambda options: options[-1],
)
def test_nghttp_is_particular(server: EmbeddedServer, options: list[str]) -> None:
    # The bodies come side by side, and so in pieces.
    told = nghttp(*options, "-m", "5", f"{server.url}/download?size=200000")
    assert Counter(told) == Counter(download(200_000).decode() * 5)


@needs_nghttp
@pytest.mark.parametrize(
    "options",
    [[], ["--padding=200"], ["--expect-continue"], ["--no-content-length"], ["--trailer", "x-checksum: 1"]],
    ids=["plain", "padding", "expect", "unsized", "trailers"],
)
def test_nghttp_uploads(server: EmbeddedServer, upload: Path, options: list[str]) -> None:
    told = nghttp("--data", upload, *options, "-m", "3", f"{server.url}/digest")
    assert told == digest(UPLOAD) * 3


@needs_nghttp
def test_nghttp_over_tls(tls_server: EmbeddedServer) -> None:
    told = nghttp("-v", "--no-verify-peer", f"{tls_url(tls_server)}/seen")
    assert "The negotiated protocol: h2" in told
    assert '"scheme": "https"' in told


# httpx


def trusting(authority: Authority) -> ssl.SSLContext:
    """How httpx connects; it adds ALPN."""
    return authority.client_context()


@pytest.fixture
def client(tls_server: EmbeddedServer, authority: Authority) -> Iterator[httpx.Client]:
    """httpx, over TLS."""
    with httpx.Client(http2=True, verify=trusting(authority), base_url=tls_url(tls_server), timeout=60) as opened:
        yield opened


@asynccontextmanager
async def async_client(server: EmbeddedServer, authority: Authority) -> AsyncIterator[httpx.AsyncClient]:
    """The same on an event loop, over a single connection, and with a deadline for everything."""
    limits = httpx.Limits(max_connections=1)
    async with (
        asyncio.timeout(3 * DEADLINE),
        httpx.AsyncClient(
            http2=True, verify=trusting(authority), base_url=tls_url(server), timeout=3 * DEADLINE, limits=limits
        ) as opened,
    ):
        yield opened


def test_httpx(client: httpx.Client) -> None:
    ports = set()
    for _ in range(3):
        response = client.get("/seen", headers={"Cookie": "a=1; b=2"})
        assert response.http_version == "HTTP/2"
        seen = response.json()
        ports.add(seen["client"][1])
        assert (seen["version"], seen["scheme"]) == ("2", "https")
        assert seen["headers"]["cookie"] == "a=1; b=2"
        assert client.post("/digest", content=UPLOAD).text == digest(UPLOAD)
        assert client.head("/hello").headers["content-length"] == "5"
    assert len(ports) == 1


def test_httpx_without_tls(server: EmbeddedServer) -> None:
    with httpx.Client(http1=False, http2=True, base_url=server.url, timeout=60) as client:
        assert client.get("/seen").json()["version"] == "2"
        assert client.post("/digest", content=UPLOAD).text == digest(UPLOAD)


def test_httpx_streams(client: httpx.Client) -> None:
    parts = [UPLOAD[at : at + 100_000] for at in range(0, len(UPLOAD), 100_000)]
    assert client.post("/digest", content=iter(parts)).text == digest(UPLOAD)
    with client.stream("GET", "/download?size=5000000") as response:
        assert b"".join(response.iter_bytes()) == download(5_000_000)
    # It reads past what nobody takes, and never gives the window back that this has cost.
    with client.stream("GET", "/download?size=1000000") as response:
        assert next(response.iter_bytes())
    assert client.get("/hello").text == "hello"


def test_httpx_asks_many_at_once(tls_server: EmbeddedServer, authority: Authority) -> None:
    async def ask() -> tuple[list[httpx.Response], set[int]]:
        async with async_client(tls_server, authority) as client:
            first = await client.get("/seen")
            answers = await asyncio.gather(*[client.get(f"/number?n={number}&ms=20") for number in range(300)])
            last = await client.get("/seen")
            return answers, {first.json()["client"][1], last.json()["client"][1]}

    answers, ports = asyncio.run(ask())
    assert [answer.text for answer in answers] == [str(number) for number in range(300)]
    assert {answer.http_version for answer in answers} == {"HTTP/2"}
    assert len(ports) == 1


def test_httpx_sends_and_gets_many_at_once(tls_server: EmbeddedServer, authority: Authority) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for at in range(0, 500_000, 10_000):
            yield UPLOAD[at : at + 10_000]

    async def fetch(client: httpx.AsyncClient) -> bytes:
        async with client.stream("GET", "/download?size=500000") as response:
            return b"".join([part async for part in response.aiter_bytes()])

    async def ask() -> tuple[list[httpx.Response], list[bytes]]:
        async with async_client(tls_server, authority) as client:
            uploads = [client.post("/digest", content=parts()) for _ in range(20)]
            return await asyncio.gather(asyncio.gather(*uploads), asyncio.gather(*[fetch(client) for _ in range(20)]))

    uploads, downloads = asyncio.run(ask())
    assert [answer.text for answer in uploads] == [digest(UPLOAD[:500_000])] * 20
    assert downloads == [download(500_000)] * 20
