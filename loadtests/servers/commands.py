"""The command lines of the servers that are compared.

Every server gets the same event loop where it has the choice, the parser that is its fastest, and serves WebSockets
only where a figure is about them.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

from loadtests.servers.certificates import Certificate

Build = Literal["ordinary", "free-threaded"]
Distribution = Literal["least-busy", "kernel"]
Interface = Literal["asgi", "wsgi"]
WebSockets = Literal["none", "auto", "wsproto", "websockets", "websockets-sansio"]

# With this variable in its environment threadserve runs in its Python form.
PURE_VARIABLE = "THREADSERVE_PURE"
HOST_AND_PORT = ("--host", "127.0.0.1", "--port", "{port}")
FIXED_BYTES = "loadtests.servers.fixed_bytes"
CERTIFICATE_OPTIONS = ("--ssl-certfile", "--ssl-keyfile")


@dataclass(frozen=True)
class Server:
    """One server, without the application, host and port, which are added when it is started.

    `requires` are the packages that it is made of. `ready_line` is in its log once for each of its `workers` that has
    started; "" where the first answer says it. `tls_options` take the files of a certificate and of its key. An
    `installed` module is not looked for in the working directory, `interpreted` is threadserve in its Python form, and
    one that `speaks_http2` does so without TLS.
    """

    label: str
    build: Build
    module: str
    options: tuple[str, ...]
    requires: tuple[str, ...]
    ready_line: str = ""
    workers: int = 1
    address: tuple[str, ...] = HOST_AND_PORT
    tls_options: tuple[str, str] = CERTIFICATE_OPTIONS
    installed: bool = False
    interpreted: bool = False
    speaks_http2: bool = False

    @property
    def variables(self) -> dict[str, str]:
        """The environment that it needs beside what all servers have."""
        return {PURE_VARIABLE: "1"} if self.interpreted else {}

    def command(self, python: str, app: str, port: int | str, certificate: Certificate | None = None) -> list[str]:
        """Return the whole command line, for an application as module:attribute; with a certificate over TLS."""
        address = [part.format(port=port) for part in self.address]
        files = (certificate.file, certificate.key) if certificate else ()
        tls = [part for option, file in zip(self.tls_options, files, strict=False) for part in (option, file)]
        path = ("-P",) if self.installed else ()
        return [python, *path, "-m", self.module, *address, *self.options, *tls, app]


def split(options: str) -> tuple[str, ...]:
    """Return the options of a command line, none of which has a space in it."""
    return tuple(options.split())


NO_LOG, WORKERS, STARTED = "--no-access-log", "--workers {workers}", "Booting worker with pid"
GRANIAN = f"{WORKERS} {{with_websockets}} {NO_LOG}"
# How the peers are started, with what `peer` fills in: label, options, packages, of which the first is the module, and
# what a worker logs that is ready. One that has no option for an access log writes none. Granian and Gunicorn's ASGI
# worker pick uvloop by themselves, and h2corn serves WebSockets whether it should or not. The fixed bytes are no server
# at all: the same for whatever arrives, from one thread.
TABLE = {
    "uvicorn": (
        *("Uvicorn", f"{WORKERS} --loop uvloop --http httptools --ws {{ws}} {{access_log}}"),
        *("uvicorn httptools uvloop", "Application startup complete"),
    ),
    "granian": ("Granian", f"--interface asgi {GRANIAN}", "granian uvloop", "Started worker-"),
    "granian wsgi": ("Granian WSGI", f"--interface wsgi {GRANIAN}", "granian uvloop", "Started worker-"),
    "h2corn": ("h2corn", f"--loop uvloop {WORKERS} {NO_LOG}", "h2corn uvloop", "Started worker ["),
    "gunicorn": ("Gunicorn ASGI", f"--worker-class asgi {WORKERS}", "gunicorn uvloop", STARTED),
    "gthread": ("Gunicorn gthread", f"--worker-class gthread --threads {{threads}} {WORKERS}", "gunicorn", STARTED),
    "hypercorn": (
        *("Hypercorn", f"--worker-class uvloop {WORKERS} --config loadtests/servers/hypercorn.toml"),
        *("hypercorn h2 uvloop wsproto", "Running on http://"),
    ),
    "daphne": ("Daphne", "--verbosity 0", "daphne twisted", ""),
    "waitress": ("Waitress", "--threads {threads}", "waitress", ""),
    "cheroot": ("Cheroot", "--threads {threads}", "cheroot", ""),
    "fixed bytes": ("fixed bytes from an empty uvloop protocol", "", "uvloop", ""),
}
# Where a server is told its address and certificate in other words than most.
ADDRESSES = {
    **dict.fromkeys(("gunicorn", "hypercorn", "cheroot"), ("--bind", "127.0.0.1:{port}")),
    "daphne": ("--bind", "127.0.0.1", "--port", "{port}"),
    FIXED_BYTES: ("{port}",),
}
TLS_OPTIONS = {"granian": ("--ssl-certificate", "--ssl-keyfile"), "h2corn": ("--certfile", "--keyfile")}
SPEAK_HTTP2 = ("h2corn", "hypercorn")


def threadserve(
    build: Build,
    threads: int | None,
    *options: str,
    distribute: Distribution = "least-busy",
    interface: Interface = "asgi",
    wsgi_threads: int | None = None,
    ws: WebSockets = "none",
    access_log: bool = False,
    interpreted: bool = False,
    http2: bool = False,
) -> Server:
    """threadserve as it is installed, one process; without `threads` or `wsgi_threads` with as many as by default."""
    pool = f"--wsgi-threads {wsgi_threads}" if wsgi_threads else ""
    label = {
        f"threadserve, {counted(threads, 'thread')}" if threads else "threadserve": True,
        distribute: distribute != "least-busy",
        pool: pool != "",
        f"--ws {ws}": ws not in ("none", "auto"),
        "interpreted": interpreted,
        "HTTP/2": http2,
    }
    given = (
        f"--threads {threads}" if threads else "",
        f"--distribute {distribute} --loop uvloop --ws {ws}",
        f"--interface wsgi {pool}" if interface == "wsgi" else "",
        "--http2" if http2 else "",
        access_log_option(access_log),
    )
    return Server(
        label=joined(label),
        build=build,
        module="threadserve",
        options=(*split(" ".join(given)), *options),
        requires=("threadserve", "click", "h11", "uvloop", *(("h2",) if http2 else ()), *websocket_packages(ws)),
        installed=True,
        interpreted=interpreted,
        speaks_http2=http2,
    )


def peer(
    name: str,
    workers: int = 1,
    *options: str,
    build: Build = "ordinary",
    threads: int = 1,
    ws: WebSockets = "none",
    access_log: bool = False,
) -> Server:
    """Return a server of the table, with further options.

    `threads` are those of each process of a WSGI server. Which implementation `ws` is only Uvicorn lets one choose.
    """
    label, line, packages, ready_line = TABLE[name]
    module = FIXED_BYTES if name == "fixed bytes" else split(packages)[0]
    given = {
        "workers": workers,
        "threads": threads,
        "ws": ws,
        "with_websockets": "--no-ws" if ws == "none" else "--ws",
        "access_log": access_log_option(access_log),
    }
    chosen = ws if "{ws}" in line else "none"
    sizes = {counted(workers, "worker"): "{workers}" in line, counted(threads, "thread"): "{threads}" in line}
    size = f"{workers} × {threads}" if all(sizes.values()) else "".join(text for text in sizes if sizes[text])
    told = {label: True, size: size != "", f"--ws {chosen}": chosen != "none"}
    return Server(
        label=" ".join((joined(told), *options)),
        build=build,
        module=module,
        options=(*split(line.format_map(given)), *options),
        requires=(*split(packages), *websocket_packages(chosen)),
        ready_line=ready_line,
        workers=workers,
        address=ADDRESSES.get(module, HOST_AND_PORT),
        tls_options=TLS_OPTIONS.get(module, CERTIFICATE_OPTIONS),
        speaks_http2=module in SPEAK_HTTP2 or "--http" in options,
    )


uvicorn = partial(peer, "uvicorn")
granian, h2corn = (partial(peer, name, build="free-threaded") for name in ("granian", "h2corn"))


def joined(parts: dict[str, bool]) -> str:
    """Return the parts of a label that are told."""
    return ", ".join(part for part, is_told in parts.items() if is_told)


def counted(number: int, noun: str) -> str:
    """Return the number with the noun, which is in the plural where it has to be."""
    return f"{number} {noun}" + ("s" if number > 1 else "")


def websocket_packages(ws: WebSockets) -> tuple[str, ...]:
    """Return the packages of a WebSocket implementation; threadserve's default is the one over wsproto."""
    if ws == "none":
        return ()
    return ("wsproto",) if ws in ("auto", "wsproto") else ("websockets",)


def access_log_option(wanted: bool) -> str:
    """Return the option by which a server that has one switches its access log on or off."""
    return "--access-log" if wanted else "--no-access-log"
