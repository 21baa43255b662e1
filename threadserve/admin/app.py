"""The ASGI application that answers at the admin address.

Runs on the admin thread, on a loop of its own. It reads the server's state through its source and changes nothing.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Protocol

from threadserve.admin.page import PAGE
from threadserve.admin.prometheus import CONTENT_TYPE, format_metrics
from threadserve.admin.status import state_to_json
from threadserve.metrics.states import Detail, ServerState
from threadserve.types import Receive, Scope, Send

TEXT_TYPE = b"text/plain; charset=utf-8"
JSON_TYPE = b"application/json"
HTML_TYPE = b"text/html; charset=utf-8"

AdminResponse = tuple[int, bytes, str]


class StateSource(Protocol):
    """The source of the server's state."""

    async def read_state(self, detail: Detail) -> ServerState:
        """Return the current state of the server, in this detail."""
        ...


class AdminApp:
    """Answers GET and HEAD for the paths in `ENDPOINTS`, and nothing else."""

    def __init__(self, source: StateSource) -> None:
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI HTTP spec 2.3)."""
        status, content_type, text = await self._answer(scope["method"], scope["path"])
        fields = [(b"content-type", content_type), (b"cache-control", b"no-store")]
        if content_type == HTML_TYPE:
            # The page loads nothing from elsewhere, and no other page may frame it.
            fields += [(b"content-security-policy", PAGE.policy.encode()), (b"x-frame-options", b"DENY")]
        fields += [(b"allow", b"GET, HEAD")] if status == 405 else []
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": text.encode("utf-8", "backslashreplace")})

    async def _answer(self, method: str, path: str) -> AdminResponse:
        answer = ENDPOINTS.get(path)
        if answer is None:
            return 404, TEXT_TYPE, f"Not found. There are {', '.join(ENDPOINTS)}.\n"
        if method not in ("GET", "HEAD"):
            return 405, TEXT_TYPE, "Only GET and HEAD: nothing can be changed here.\n"
        return await answer(self._source)


async def respond_livez(source: StateSource) -> AdminResponse:
    """Answer whether the server is alive, or should be restarted."""
    return respond_health((await source.read_state(Detail.HEALTH)).find_liveness_problem(), "alive")


async def respond_readyz(source: StateSource) -> AdminResponse:
    """Answer whether the server is ready for requests."""
    return respond_health((await source.read_state(Detail.HEALTH)).find_readiness_problem(), "ready")


def respond_health(problem: str, well: str) -> AdminResponse:
    """Return 503 with the problem if there is one, else 200 with `well`."""
    return (503, TEXT_TYPE, f"{problem}\n") if problem else (200, TEXT_TYPE, f"{well}\n")


async def respond_metrics(source: StateSource) -> AdminResponse:
    """Answer in Prometheus' text format."""
    return 200, CONTENT_TYPE, format_metrics(await source.read_state(Detail.NUMBERS))


async def respond_status_page(source: StateSource) -> AdminResponse:
    """Answer with the page for people, which polls `/status.json`."""
    return 200, HTML_TYPE, PAGE.text


async def respond_status_json(source: StateSource) -> AdminResponse:
    """Answer with the state that the page shows."""
    return 200, JSON_TYPE, json.dumps(state_to_json(await source.read_state(Detail.CALLS)), indent=1) + "\n"


ENDPOINTS: dict[str, Callable[[StateSource], Awaitable[AdminResponse]]] = {
    "/livez": respond_livez,
    "/readyz": respond_readyz,
    "/metrics": respond_metrics,
    "/status": respond_status_page,
    "/status.json": respond_status_json,
}
