"""The command lines of the servers that are compared.

Every server gets the same event loop where it has the choice, the parser that is its fastest, and serves WebSockets
only where a figure is about them.
"""

from dataclasses import dataclass, replace
from typing import Literal

from loadtests.servers.certificates import Certificate

Build = Literal["ordinary", "free-threaded"]
Distribution = Literal["least-busy", "kernel"]
Interface = Literal["asgi", "wsgi"]
WebSockets = Literal["none", "auto", "wsproto", "websockets", "websockets-sansio"]

# With this variable in its environment threadserve runs in its Python form.
PURE_VARIABLE = "THREADSERVE_PURE"
# From the repository's root, where servers are started.
HYPERCORN_CONFIG = "loadtests/servers/hypercorn.toml"
HOST_AND_PORT = ("--host", "127.0.0.1", "--port", "{port}")
BIND = ("--bind", "127.0.0.1:{port}")


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
    tls_options: tuple[str, str] = ("--ssl-certfile", "--ssl-keyfile")
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
        label=", ".join(part for part, is_told in label.items() if is_told),
        build=build,
        module="threadserve",
        options=(*split(" ".join(given)), *options),
        requires=("threadserve", "click", "h11", "uvloop", *(("h2",) if http2 else ()), *websocket_packages(ws)),
        installed=True,
        interpreted=interpreted,
        speaks_http2=http2,
    )


def uvicorn(
    workers: int = 1, *, build: Build = "ordinary", ws: WebSockets = "none", access_log: bool = False
) -> Server:
    """Uvicorn with its fast event loop and parser."""
    label = f"Uvicorn, {counted(workers, 'worker')}" + ("" if ws == "none" else f", --ws {ws}")
    options = f"--workers {workers} --loop uvloop --http httptools --ws {ws} {access_log_option(access_log)}"
    requires = ("uvicorn", "httptools", "uvloop", *websocket_packages(ws))
    return Server(label, build, "uvicorn", split(options), requires, "Application startup complete", workers)


def granian(
    workers: int, *options: str, build: Build = "free-threaded", interface: Interface = "asgi", ws: bool = False
) -> Server:
    """Granian, whose workers are threads on a free-threaded interpreter. It picks uvloop by itself."""
    name = "Granian" if interface == "asgi" else "Granian WSGI"
    label = " ".join((f"{name}, {counted(workers, 'worker')}", *options))
    given = f"--interface {interface} --workers {workers} {'--ws' if ws else '--no-ws'} --no-access-log"
    server = Server(label, build, "granian", split(given), ("granian", "uvloop"), "Started worker-", workers)
    return replace(
        server,
        options=(*server.options, *options),
        tls_options=("--ssl-certificate", "--ssl-keyfile"),
        speaks_http2="--http" in options,
    )


def h2corn(build: Build, *, workers: int) -> Server:
    """h2corn, which reads and writes in Rust. It serves WebSockets whether it should or not."""
    label, options = f"h2corn, {counted(workers, 'worker')}", f"--loop uvloop --workers {workers} --no-access-log"
    server = Server(label, build, "h2corn", split(options), ("h2corn", "uvloop"), "Started worker [", workers)
    return replace(server, tls_options=("--certfile", "--keyfile"), speaks_http2=True)


def gunicorn(build: Build, *, workers: int, threads: int) -> Server:
    """Gunicorn with its threaded workers. Without being asked it writes no access log."""
    label, options = f"Gunicorn gthread, {workers} × {threads}", f"--worker-class gthread --threads {threads}"
    given = split(f"{options} --workers {workers}")
    return Server(label, build, "gunicorn", given, ("gunicorn",), "Booting worker with pid", workers, BIND)


def gunicorn_asgi(build: Build, *, workers: int) -> Server:
    """Gunicorn with its own ASGI workers, which pick uvloop, and its compiled parser where that is installed."""
    label, options = f"Gunicorn ASGI, {counted(workers, 'worker')}", f"--worker-class asgi --workers {workers}"
    requires = ("gunicorn", "uvloop")
    return Server(label, build, "gunicorn", split(options), requires, "Booting worker with pid", workers, BIND)


def hypercorn(build: Build, *, workers: int) -> Server:
    """Hypercorn over h11. Without being asked it writes no access log."""
    label = f"Hypercorn, {counted(workers, 'worker')}"
    options = split(f"--worker-class uvloop --workers {workers} --config {HYPERCORN_CONFIG}")
    requires = ("hypercorn", "h2", "uvloop", "wsproto")
    server = Server(label, build, "hypercorn", options, requires, "Running on http://", workers, BIND)
    return replace(server, speaks_http2=True)


def daphne(build: Build) -> Server:
    """Daphne, which is one process with one event loop of Twisted's; silent, it writes no access log."""
    address = ("--bind", "127.0.0.1", "--port", "{port}")
    return Server("Daphne", build, "daphne", ("--verbosity", "0"), ("daphne", "twisted"), address=address)


def pooled(module: Literal["waitress", "cheroot"], build: Build, *, threads: int) -> Server:
    """Waitress or Cheroot, which is one process with so many threads, and has no access log."""
    label = f"{module.capitalize()}, {counted(threads, 'thread')}"
    address = HOST_AND_PORT if module == "waitress" else BIND
    return Server(label, build, module, ("--threads", str(threads)), (module,), address=address)


def fixed_bytes() -> Server:
    """No server at all: the same bytes for whatever arrives, from one thread."""
    label, module = "fixed bytes from an empty uvloop protocol", "loadtests.servers.fixed_bytes"
    return Server(label, "free-threaded", module, (), ("uvloop",), address=("{port}",))


def split(options: str) -> tuple[str, ...]:
    """Return the options of a command line, none of which has a space in it."""
    return tuple(options.split())


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
