"""The log level `trace`, as a user sees it."""

from pathlib import Path

import httpx
from support.server_process import ServerProcess
from support.waiting import DEADLINE

TESTS = str(Path(__file__).parent.parent)

APP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-secret", b"s3cret")]})
    await send({"type": "http.response.body", "body": b"private"})
"""


def lines_of(level: str, folder: Path) -> str:
    """What a server with this log level writes to stderr while it answers one request."""
    (folder / "traced.py").write_text(APP)
    server = ServerProcess("traced:app", "--app-dir", str(folder), "--log-level", level)
    try:
        server.start()
        assert httpx.get(server.url, timeout=DEADLINE).text == "private"
        server.stop()
    finally:
        server.kill()
    return server.stderr


def test_trace_logs_each_message_without_bodies_or_headers(tmp_path: Path) -> None:
    log = lines_of("trace", tmp_path)
    for part in (
        "Started scope={'type': 'http'",
        "Receive {'type': 'http.request', 'body': '<0 bytes>', 'more_body': False}",
        "Send {'type': 'http.response.start', 'status': 200, 'headers': '<...>'}",
        "Send {'type': 'http.response.body', 'body': '<7 bytes>'}",
        "Completed",
    ):
        assert part in log
    assert "s3cret" not in log
    assert "private" not in log


def test_debug_logs_no_messages(tmp_path: Path) -> None:
    assert "scope=" not in lines_of("debug", tmp_path)
