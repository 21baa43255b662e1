"""The command lines of the servers that are compared.

Every server gets the same event loop where it has the choice, the parser that is its fastest, and serves WebSockets
only where a figure is about them.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

Build = Literal["ordinary", "free-threaded"]
Interface = Literal["asgi", "wsgi"]
WebSockets = Literal["none", "auto", "wsproto", "websockets", "websockets-sansio"]

HYPERCORN_CONFIG = Path(__file__).with_name("hypercorn.toml")
HOST_AND_PORT = ("--host", "127.0.0.1", "--port", "{port}")
CERTIFICATE_OPTIONS = ("--ssl-certfile", "--ssl-keyfile")
# What serves WebSockets; threadserve's default is the one over wsproto.
WEBSOCKET_PACKAGES: dict[WebSockets, tuple[str, ...]] = {
    "none": (),
    "auto": ("wsproto",),
    "wsproto": ("wsproto",),
    "websockets": ("websockets",),
    "websockets-sansio": ("websockets",),
}


@dataclass(frozen=True)
class Server:
    """One server, without the application, host and port, which are added when it is started.

    `requires` are the packages that it is made of. `ready_line` is in its log once for each of its `workers` that has
    started; "" where the first answer says it. `tls_options` take the files of a certificate and of its key;
    `interpreted` is threadserve in its Python form, and one that `speaks_http2` does so without TLS.
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
    interpreted: bool = False
    speaks_http2: bool = False

    @property
    def variables(self) -> dict[str, str]:
        """The environment that it needs beside what all servers have."""
        return {"THREADSERVE_PURE": "1"} if self.interpreted else {}

    def command(self, python: str, app: str, port: int, certificate: tuple[str, str] | None = None) -> list[str]:
        """Return the whole command line, for an application as module:attribute; with a certificate over TLS."""
        parts = (*self.address, *self.options)
        options = [part.format(port=port, hypercorn_config=HYPERCORN_CONFIG) for part in parts]
        tls = [part for pair in zip(self.tls_options, certificate or (), strict=False) for part in pair]
        # threadserve is the one that is installed, and not that of the working directory.
        path = ["-P"] if self.module == "threadserve" else []
        return [python, *path, "-m", self.module, *options, *tls, app]


# How the peers are started, with what `peer` fills in: title, options, packages, of which the first is the module, and
# what a worker logs that is ready. One that has no option for an access log writes none. Granian and Gunicorn's ASGI
# worker pick uvloop by themselves, and h2corn serves WebSockets whether it should or not. The fixed bytes are no server
# at all: the same for whatever arrives, from one thread.
WORKERS, STARTED = "--workers {workers}", "Booting worker with pid"
GRANIAN = f"{WORKERS} {{with_websockets}} --no-access-log --interface"
UVICORN = f"{WORKERS} --loop uvloop --http httptools --ws {{ws}} {{access_log}}"
HYPERCORN = f"{WORKERS} --worker-class uvloop --config {{{{hypercorn_config}}}}"
PEERS = {
    "uvicorn": ("Uvicorn", UVICORN, "uvicorn httptools uvloop", "Application startup complete"),
    "granian": ("Granian", f"{GRANIAN} asgi", "granian uvloop", "Started worker-"),
    "granian wsgi": ("Granian WSGI", f"{GRANIAN} wsgi", "granian uvloop", "Started worker-"),
    "h2corn": ("h2corn", f"{WORKERS} --loop uvloop --no-access-log", "h2corn uvloop", "Started worker ["),
    "gunicorn": ("Gunicorn ASGI", f"{WORKERS} --worker-class asgi", "gunicorn uvloop", STARTED),
    "gthread": ("Gunicorn gthread", f"{WORKERS} --worker-class gthread --threads {{threads}}", "gunicorn", STARTED),
    "hypercorn": ("Hypercorn", HYPERCORN, "hypercorn h2 uvloop wsproto", "Running on http://"),
    "daphne": ("Daphne", "--verbosity 0", "daphne twisted", ""),
    "waitress": ("Waitress", "--threads {threads}", "waitress", ""),
    "cheroot": ("Cheroot", "--threads {threads}", "cheroot", ""),
    "fixed bytes": ("fixed bytes from an empty uvloop protocol", "", "uvloop", ""),
}
# Where a server is told its address and certificate in other words than most.
ADDRESSES = {
    **dict.fromkeys(("gunicorn", "hypercorn", "cheroot"), ("--bind", "127.0.0.1:{port}")),
    "daphne": ("--bind", "127.0.0.1", "--port", "{port}"),
    "loadtests.servers.fixed_bytes": ("{port}",),
}
TLS_OPTIONS = {"granian": ("--ssl-certificate", "--ssl-keyfile"), "h2corn": ("--certfile", "--keyfile")}


def threadserve(
    build: Build,
    threads: int | None,
    *options: str,
    note: str = "",
    interface: Interface = "asgi",
    ws: WebSockets = "none",
    interpreted: bool = False,
) -> Server:
    """threadserve as it is installed, one process; without `threads` with as many as by default.

    The `note` on the further options is a part of its label.
    """
    size = f", {counted(threads, 'thread')}" if threads else ""
    kind = f"--ws {ws}" if ws not in ("none", "auto") else ""
    has_http2 = "--http2" in options
    return Server(
        label=", ".join(filter(None, (f"threadserve{size}", note, kind, "interpreted" if interpreted else ""))),
        build=build,
        module="threadserve",
        options=(
            *(("--threads", str(threads)) if threads else ()),
            *("--loop", "uvloop", "--ws", ws, *(("--interface", "wsgi") if interface == "wsgi" else ())),
            *without_access_log(options),
            *options,
        ),
        requires=("threadserve", "click", "h11", "uvloop", *(("h2",) if has_http2 else ()), *WEBSOCKET_PACKAGES[ws]),
        interpreted=interpreted,
        speaks_http2=has_http2,
    )


def peer(
    name: str, workers: int = 1, *options: str, build: Build = "ordinary", threads: int = 1, ws: WebSockets = "none"
) -> Server:
    """Return a server of the table, with further options.

    `threads` are those of each process of a WSGI server. Which implementation `ws` is only Uvicorn lets one choose.
    """
    title, line, packages, ready_line = PEERS[name]
    module = "loadtests.servers.fixed_bytes" if name == "fixed bytes" else packages.split()[0]
    filled = line.format(
        workers=workers,
        threads=threads,
        ws=ws,
        with_websockets="--no-ws" if ws == "none" else "--ws",
        access_log=" ".join(without_access_log(options)),
    )
    chosen = ws if "{ws}" in line else "none"
    sizes = [counted(workers, "worker")] * ("{workers}" in line) + [counted(threads, "thread")] * ("{threads}" in line)
    size = f"{workers} × {threads}" if len(sizes) == 2 else "".join(sizes)
    label = ", ".join(filter(None, (title, size, f"--ws {chosen}" if chosen != "none" else "")))
    return Server(
        label=" ".join((label, *options)),
        build=build,
        module=module,
        options=(*filled.split(), *options),
        requires=(*packages.split(), *WEBSOCKET_PACKAGES[chosen]),
        ready_line=ready_line,
        workers=workers,
        address=ADDRESSES.get(module, HOST_AND_PORT),
        tls_options=TLS_OPTIONS.get(module, CERTIFICATE_OPTIONS),
        speaks_http2=module in ("h2corn", "hypercorn") or "--http" in options,
    )


uvicorn = partial(peer, "uvicorn")
granian, h2corn = (partial(peer, name, build="free-threaded") for name in ("granian", "h2corn"))


def counted(number: int, noun: str) -> str:
    """Return the number with the noun, which is in the plural where it has to be."""
    return f"{number} {noun}" + ("s" if number > 1 else "")


def without_access_log(options: tuple[str, ...]) -> tuple[str, ...]:
    """Return the option that switches the access log off, unless the options switch it on."""
    return () if "--access-log" in options else ("--no-access-log",)
