"""The real server as a process, with real clients: httpx and curl."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.server_process import ServerProcess

APP = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-method", scope["method"].encode())]})
    for at in range(0, len(body), 100_000):
        await send({"type": "http.response.body", "body": body[at : at + 100_000], "more_body": True})
    await send({"type": "http.response.body"})
"""


@pytest.fixture(scope="module")
def process(parser: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder: Path = tmp_path_factory.mktemp("app")
    (folder / "echoing.py").write_text(APP)
    with ServerProcess("echoing:app", "--app-dir", str(folder), "--http", parser) as server:
        yield server
        assert server.stop(signal.SIGTERM) == 0
        assert "Traceback" not in server.stderr


def test_httpx(process: ServerProcess) -> None:
    body = bytes(range(256)) * 4000
    with httpx.Client(base_url=process.url, timeout=60) as client:
        for _ in range(3):
            assert client.post("/", content=body).content == body
            assert client.put("/", content=iter([body[:1000], body[1000:]])).content == body
            assert client.get("/").headers["x-method"] == "GET"
            assert client.head("/").status_code == 200
    process.wait_for_line(r'127\.0\.0\.1:\d+ - "PUT / HTTP/1\.1" 200', "stdout")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(
    "options",
    [[], ["--http1.0"], ["--header", "Expect: 100-continue"], ["--header", "Transfer-Encoding: chunked"]],
    ids=["plain", "1.0", "expect", "chunked"],
)
def test_curl(process: ServerProcess, tmp_path: Path, options: list[str]) -> None:
    body = tmp_path / "body"
    body.write_bytes(b"0123456789" * 200_000)
    command = ["curl", "--silent", "--show-error", "--max-time", "60", *options, "--data-binary", f"@{body}"]
    done = subprocess.run([*command, f"{process.url}/a", f"{process.url}/b"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == body.read_bytes() * 2
