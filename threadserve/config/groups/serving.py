"""Where to listen, and how many threads serve. Declarations only."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from threadserve.config.build import number_or_auto
from threadserve.config.checks import at_least, between, hosts, installed, loop_name, octal_mode, texts
from threadserve.config.declaring import setting


@dataclass(eq=False)
class Serving:
    """What is served, and where. The first five may be given by position, as Uvicorn's."""

    heading: ClassVar = "Serving"

    app: Callable[..., Any] | str

    host: str | Sequence[str] = setting("127.0.0.1", "Bind to this host name or address.", check=hosts, metavar="HOST")
    port: int = setting(8000, "Bind to this port; 0 picks a free one.", check=between(0, 65535), metavar="PORT")
    uds: str | None = setting(None, "Bind to a Unix socket at this path instead.", metavar="PATH")
    fd: int | None = setting(None, "Serve on the listening socket with this descriptor instead.", check=at_least(0))
    bind: Sequence[str] = setting(
        (),
        "Bind to this address instead; may be repeated.",
        check=texts,
        metavar="HOST:PORT|unix:PATH|fd://N",
    )
    uds_permissions: str | int | None = setting(
        None,
        "Permissions of Unix sockets, in octal.",
        check=octal_mode,
        metavar="MODE",
        shown_default="666, or those of the socket that is replaced",
    )
    backlog: int = setting(2048, "Connections that may wait to be accepted.", check=between(1, 2**31 - 1))
    threads: int | Literal["auto"] | None = setting(
        None,
        "Threads, each with a loop and an app instance of its own; auto divides the usable CPUs among the workers.",
        check=number_or_auto,
        metavar="N|auto",
        shown_default="1; on a free-threaded build $WEB_CONCURRENCY, and with --interface wsgi one per 8 CPUs",
    )
    distribute: Literal["least-busy", "round-robin", "kernel"] = setting(
        "least-busy", "How to choose the thread for a new connection."
    )
    release_idle: bool = setting(
        True, "Let any thread serve the next request of a plain HTTP/1.1 connection that was idle."
    )
    loop: str = setting(
        "auto",
        "Event-loop implementation, or a factory of loops as module:attribute.",
        check=loop_name,
        metavar="[auto|asyncio|uvloop]",
    )
    http: Literal["auto", "h11", "httptools"] = setting(
        "auto", "HTTP/1.1 parser; auto is threadserve's own.", check=installed({"httptools": "httptools"})
    )
    http2: bool = setting(
        False,
        "Speak HTTP/2 as well: over TLS by ALPN, else with clients that begin with it.",
        check=installed({True: "h2"}),
    )
