"""Every setting of a server, declared once, in a group for each heading of the help.

The command line, its environment variables, the configuration file, `Config` and the documentation are all generated
from these declarations. Nothing here runs.
"""

import copy
import os
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import Field, dataclass, fields
from typing import Any, ClassVar, Literal

from threadserve.config.checks import (
    at_least,
    between,
    check_admin_address,
    check_count,
    check_count_or_auto,
    check_folder,
    check_header_fields,
    check_hosts,
    check_loop_name,
    check_octal_mode,
    check_proxy_headers,
    check_texts,
    check_trusted_hosts,
    requires_library,
)
from threadserve.config.declaring import MAX_TIMEOUT_SECONDS, setting
from threadserve.logging.access_format import check_format
from threadserve.logging.default_config import LOG_LEVELS, LOGGING_CONFIG, LogConfig
from threadserve.types import AnyApp


@dataclass(eq=False)
class SettingsGroup:
    """The settings below one heading of the help."""

    heading: ClassVar[str]


@dataclass(eq=False)
class ServingSettings(SettingsGroup):
    """The application, the addresses and the threads. The first five may be given by position, as Uvicorn's."""

    heading = "Serving"

    app: AnyApp | str

    host: str | Sequence[str] = setting(
        "127.0.0.1", "Bind to this host name or address.", check=check_hosts, metavar="HOST"
    )
    port: int = setting(8000, "Bind to this port; 0 picks a free one.", check=between(0, 65535), metavar="PORT")
    uds: str | None = setting(None, "Bind to a Unix socket at this path instead.", metavar="PATH")
    fd: int | None = setting(None, "Serve on the listening socket with this descriptor instead.", check=at_least(0))
    bind: Sequence[str] = setting(
        (),
        "Bind to this address instead; may be repeated.",
        check=check_texts,
        metavar="HOST:PORT|unix:PATH|fd://N",
    )
    uds_permissions: str | int | None = setting(
        None,
        "Permissions of Unix sockets, in octal.",
        check=check_octal_mode,
        metavar="MODE",
        shown_default="666, or those of the socket that is replaced",
    )
    backlog: int = setting(2048, "Connections that may wait to be accepted.", check=between(1, 2**31 - 1))
    threads: int | Literal["auto"] | None = setting(
        None,
        "Threads, each with a loop and an app instance of its own; auto divides the usable CPUs among the workers.",
        check=check_count_or_auto,
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
        check=check_loop_name,
        metavar="[auto|asyncio|uvloop]",
    )
    http: Literal["auto", "h11", "httptools"] = setting(
        "auto", "HTTP/1.1 parser; auto is threadserve's own.", check=requires_library({"httptools": "httptools"})
    )
    http2: bool = setting(
        False,
        "Speak HTTP/2 as well: over TLS by ALPN, else with clients that begin with it.",
        check=requires_library({True: "h2"}),
    )


@dataclass(eq=False, kw_only=True)
class ApplicationSettings(SettingsGroup):
    """The application and its interface."""

    heading = "Application"

    app_dir: str | None = setting(
        "",
        "Look for the application in this folder.",
        check=check_folder,
        metavar="DIR",
        shown_default="the working directory",
    )
    factory: bool = setting(False, "Treat the application as a factory: call it to get the app.")
    app_instance: Literal["thread", "shared"] = setting("thread", "One app instance per thread, or one shared by all.")
    app_shared: Sequence[str] | str | None = setting(
        None,
        "Keep this module of the application in one copy for all threads; may be repeated.",
        check=check_texts,
        metavar="MODULE",
        shown_default="none",
    )
    app_threads: int | None = setting(
        None,
        "Threads for what the application does that blocks, by asyncio.to_thread or anyio, for all loops together.",
        check=check_count,
        shown_default="what asyncio and anyio have for one loop",
    )
    interface: Literal["auto", "asgi3", "asgi2", "wsgi", "channels"] = setting("auto", "Application interface.")
    lifespan: Literal["auto", "on", "off"] = setting("auto", "Whether the application has lifespan events.")
    root_path: str = setting("", "The URL path below which the application is mounted.", metavar="PATH")
    pathsend: bool = setting(False, "Let the application send files by their path (ASGI http.response.pathsend).")
    env_file: str | os.PathLike[str] | None = setting(
        None, "Read environment variables for the application from this file.", metavar="FILE"
    )
    cancel_on_disconnect: bool = setting(
        False, "Cancel a request's task when its client has gone, unless the application chooses otherwise."
    )
    reset_contextvars: bool = setting(
        False, "Run each request in an empty context, without what the program or its modules have set."
    )


@dataclass(eq=False, kw_only=True)
class ProcessSettings(SettingsGroup):
    """Worker processes and automatic reload."""

    heading = "Processes"

    workers: int | Literal["auto"] | None = setting(
        None,
        "Worker processes, each with its own threads; auto is one per usable CPU.",
        check=check_count_or_auto,
        metavar="N|auto",
        shown_default="1; $WEB_CONCURRENCY on a build with the GIL",
    )
    timeout_worker_healthcheck: float = setting(
        5, "Replace a worker that gives no sign of life for this long.", check=between(0.1, MAX_TIMEOUT_SECONDS)
    )
    reload: bool = setting(False, "Start anew when the code changes: for development.")
    reload_dirs: Sequence[str] | str | None = setting(
        None,
        "Watch this folder; may be repeated.",
        check=check_texts,
        flag="--reload-dir",
        metavar="DIR",
        shown_default="the working directory",
    )
    reload_includes: Sequence[str] | str | None = setting(
        None,
        "Watch files that match this pattern; may be repeated.",
        check=check_texts,
        flag="--reload-include",
        metavar="PATTERN",
        shown_default="*.py",
    )
    reload_excludes: Sequence[str] | str | None = setting(
        None,
        "Do not watch files that match this pattern; may be repeated.",
        check=check_texts,
        flag="--reload-exclude",
        metavar="PATTERN",
        shown_default=".*, .py[cod], .sw.*, ~*",
    )
    reload_delay: float = setting(0.25, "Look for changes this often.", check=between(0.01, MAX_TIMEOUT_SECONDS))
    callback_notify: Callable[[], Awaitable[object]] | None = None
    timeout_notify: float = 30


@dataclass(eq=False, kw_only=True)
class WSGISettings(SettingsGroup):
    """The pool of threads for WSGI applications."""

    heading = "WSGI"

    wsgi_threads: int | None = setting(
        None,
        "Threads that call a WSGI application.",
        check=check_count,
        shown_default="twice the usable CPUs, at least 4; 10 on a build with the GIL",
    )
    wsgi_queue: int = setting(
        1024, "Requests that may wait for one of these threads; beyond it 503 is answered.", check=at_least(1)
    )


@dataclass(eq=False, kw_only=True)
class WebSocketSettings(SettingsGroup):
    """The WebSocket protocol (RFC 6455)."""

    heading = "WebSockets"

    ws: Literal["auto", "wsproto", "websockets", "websockets-sansio", "none"] = setting(
        "auto",
        "WebSocket implementation; auto is wsproto, and none serves no WebSockets.",
        check=requires_library({"websockets": "websockets", "websockets-sansio": "websockets"}),
    )
    ws_max_size: int = setting(
        16 * 1024 * 1024, "Largest message that a client may send.", check=at_least(1), metavar="BYTES"
    )
    ws_max_queue: int = setting(32, "Messages of a client that may wait for the application.", check=at_least(1))
    ws_ping_interval: float | None = setting(
        20, "Send a ping this often; 0 sends none.", check=between(0, MAX_TIMEOUT_SECONDS)
    )
    ws_ping_timeout: float | None = setting(
        20,
        "Give up a client that does not answer a ping for this long; 0 waits.",
        check=between(0, MAX_TIMEOUT_SECONDS),
    )
    ws_per_message_deflate: bool = setting(True, "Compress messages where the client can (RFC 7692).", takes_value=True)


@dataclass(eq=False, kw_only=True)
class TLSSettings(SettingsGroup):
    """Certificates, and what may be negotiated. The numbers are those of the standard library's `ssl`."""

    heading = "TLS"

    ssl_certfile: str | os.PathLike[str] | None = setting(
        None, "Certificate, with its chain, in PEM; turns TLS on.", metavar="FILE"
    )
    ssl_keyfile: str | os.PathLike[str] | None = setting(
        None, "Private key in PEM.", metavar="FILE", shown_default="the file of the certificate"
    )
    ssl_keyfile_password: str | None = setting(None, "Password of the private key.", metavar="TEXT")
    ssl_version: int = setting(
        int(ssl.PROTOCOL_TLS_SERVER), "Protocol constant of the module ssl.", shown_default="17: TLS 1.2 and up"
    )
    ssl_cert_reqs: int = setting(
        int(ssl.CERT_NONE), "Client certificates: 0 none, 1 optional, 2 required.", check=between(0, 2)
    )
    ssl_ca_certs: str | os.PathLike[str] | None = setting(
        None, "Authorities that client certificates are checked against, in PEM.", metavar="FILE"
    )
    ssl_ciphers: str | None = setting(
        None, "Ciphers in OpenSSL's format.", metavar="LIST", shown_default="OpenSSL's safe ones"
    )
    timeout_ssl_handshake: float = setting(
        10, "Close a connection whose handshake takes longer than this.", check=between(0.1, MAX_TIMEOUT_SECONDS)
    )
    ssl_context_factory: Callable[[Any, Callable[[], ssl.SSLContext]], ssl.SSLContext] | None = None


@dataclass(eq=False, kw_only=True)
class ProxySettings(SettingsGroup):
    """Trusted proxies, and the header fields of theirs that count."""

    heading = "Proxies"

    proxy_headers: bool = setting(True, "Believe trusted proxies' headers.")
    forwarded_allow_ips: str | Sequence[str] | None = setting(
        None,
        "Trusted proxies: addresses, networks and Unix sockets, with commas between; * is all.",
        check=check_trusted_hosts,
        metavar="LIST",
        shown_default="$FORWARDED_ALLOW_IPS or 127.0.0.1,::1",
    )
    forwarded_headers: str | Sequence[str] = setting(
        "Forwarded, X-Forwarded-For, X-Forwarded-Proto",
        "Believe these of a trusted proxy's headers. There are also X-Forwarded-Host, -Port and -Prefix: name them "
        "where the proxy sets them itself, for others pass on what a client sends.",
        check=check_proxy_headers,
        metavar="LIST",
    )
    proxy_protocol: bool = setting(False, "Demand a PROXY header, version 1 or 2, on each connection.")


@dataclass(eq=False, kw_only=True)
class LimitSettings(SettingsGroup):
    """Limits and timeouts."""

    heading = "Limits and timeouts"

    limit_concurrency: int | None = setting(
        None, "Requests in flight at once; beyond it 503 is answered.", check=at_least(1), shown_default="no limit"
    )
    limit_max_requests: int | None = setting(
        None,
        "Replace a worker after this many requests; without workers: stop.",
        check=at_least(1),
        shown_default="no limit",
    )
    limit_max_requests_jitter: int = setting(
        0, "Add a random number up to this to --limit-max-requests.", check=at_least(0)
    )
    limit_max_memory: int | None = setting(
        None,
        "Replace a worker that uses more memory than this; without workers: stop.",
        check=at_least(1),
        metavar="BYTES",
        shown_default="no limit",
    )
    limit_request_header_size: int = setting(
        65536, "Largest head of a request; beyond it 431 or 414 is answered.", check=at_least(64), metavar="BYTES"
    )
    limit_request_header_fields: int = setting(
        100, "Most header fields in a request; beyond it 431 is answered.", check=at_least(1)
    )
    limit_request_body: int | None = setting(
        None,
        "Largest body of a request; beyond it 413 is answered.",
        check=at_least(1),
        metavar="BYTES",
        shown_default="no limit",
    )
    h11_max_incomplete_event_size: int | None = setting(
        None,
        "Largest head of a request with --http h11, where that is less.",
        check=at_least(64),
        metavar="BYTES",
        shown_default="--limit-request-header-size",
    )
    timeout_keep_alive: float = setting(
        5, "Close a connection that has been idle for this long.", check=between(0, MAX_TIMEOUT_SECONDS)
    )
    timeout_request_header: float = setting(
        30, "Answer 408 when the head of a request takes longer than this.", check=between(0.1, MAX_TIMEOUT_SECONDS)
    )
    timeout_request_body: float | None = setting(
        None,
        "Answer 408 when nothing of a request's body comes for this long.",
        check=between(0.1, MAX_TIMEOUT_SECONDS),
        shown_default="no limit",
    )
    timeout_request: float | None = setting(
        None,
        "Answer 504 when the application takes longer than this.",
        check=between(0.001, MAX_TIMEOUT_SECONDS),
        shown_default="no limit",
    )
    timeout_graceful_shutdown: float | None = setting(
        20,
        "Cut off requests, and lifespan shutdown, that still run this long after the signal to stop.",
        check=between(0, MAX_TIMEOUT_SECONDS),
    )


@dataclass(eq=False, kw_only=True)
class HeaderSettings(SettingsGroup):
    """Response headers."""

    heading = "Response headers"

    headers: Sequence[tuple[str, str]] = setting(
        (),
        "Add this header to every response; may be repeated.",
        check=check_header_fields,
        flag="--header",
        metavar="NAME:VALUE",
    )
    server_header: bool = setting(True, "Send the Server header.")
    date_header: bool = setting(True, "Send the Date header.")


@dataclass(eq=False, kw_only=True)
class LoggingSettings(SettingsGroup):
    """The server's log and the access log."""

    heading = "Logging"

    log_level: str | int | None = setting(
        None, "Log what is at least this important.", choices=LOG_LEVELS, shown_default="info"
    )
    log_config: LogConfig | None = setting(
        factory=lambda: copy.deepcopy(LOGGING_CONFIG),
        help="Configure logging by this file: .json, .yaml or .ini.",
        metavar="FILE",
        shown_default="threadserve's own",
    )
    log_propagate: bool = setting(False, "Leave the log to the handlers of the root logger.")
    access_log: bool = setting(True, "Log every request.")
    access_log_format: str | None = setting(
        None,
        "Format of the access log in Gunicorn's atoms, or json.",
        check=check_format,
        metavar="FORMAT",
        shown_default="Uvicorn's",
    )
    use_colors: bool | None = setting(None, "Colour the log.", shown_default="on a terminal")


@dataclass(eq=False, kw_only=True)
class OperationSettings(SettingsGroup):
    """Health, metrics and warnings."""

    heading = "Operations"

    admin_bind: str | None = setting(
        None,
        "Answer /livez, /readyz, /metrics, /status and /status.json at this address.",
        check=check_admin_address,
        metavar="HOST:PORT|unix:PATH",
        shown_default="nowhere",
    )
    timeout_loop_stall: float = setting(
        1,
        "Log what blocks an event loop for longer than this; 0 watches nothing.",
        check=between(0, MAX_TIMEOUT_SECONDS),
    )
    timeout_loop_exit: float | None = setting(
        None,
        "End the process as a failure when all its event loops have been blocked for this long.",
        check=between(0.1, MAX_TIMEOUT_SECONDS),
        shown_default="never",
    )
    log_slow_requests: float | None = setting(
        None,
        "Log requests that take longer than this.",
        check=between(0, MAX_TIMEOUT_SECONDS),
        metavar="SECONDS",
        shown_default="none",
    )
    shutdown_delay: float = setting(
        0,
        "Serve on for this long after the signal to stop, while /readyz says that the server is about to.",
        check=between(0, MAX_TIMEOUT_SECONDS),
    )


GROUPS: tuple[type[SettingsGroup], ...] = (
    ServingSettings,
    ApplicationSettings,
    ProcessSettings,
    WSGISettings,
    WebSocketSettings,
    TLSSettings,
    ProxySettings,
    LimitSettings,
    HeaderSettings,
    LoggingSettings,
    OperationSettings,
)


def groups() -> list[tuple[str, list[Field[object]]]]:
    """Return the headings of the help, each with the declarations of its settings that are on the command line."""
    return [(group.heading, [declared for declared in fields(group) if declared.metadata]) for group in GROUPS]


def settings() -> list[Field[object]]:
    """Return the declarations of all settings that are on the command line, in the order of the help."""
    return [declared for _, members in groups() for declared in members]
