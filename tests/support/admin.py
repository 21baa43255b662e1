"""A client of the admin address: health, metrics read as Prometheus reads them, and the status."""

import json
import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from support.embedded_server import EmbeddedServer
from support.raw_client import request
from support.responses import Response, ResponseReader
from support.server_process import ServerProcess
from support.waiting import DEADLINE, wait_until

ADMIN_LINE = r"Health, metrics and status on http://\[?([0-9.:a-f]+)\]?:(\d+):"


class Metrics:
    """What `/metrics` has told at one time."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}

    def samples(self, name: str) -> list[Sample]:
        """Every sample of this name."""
        return [sample for family in self.families.values() for sample in family.samples if sample.name == name]

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples that have this name and these labels."""
        found = [sample for sample in self.samples(name) if labels.items() <= sample.labels.items()]
        return sum(sample.value for sample in found)


class Admin:
    """Asks at one address, on a new connection each time."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self.connect = connect

    def ask(self, target: str, method: str = "GET") -> Response:
        """The response to a request."""
        with closing(self.connect()) as connection:
            connection.sendall(request(method, target))
            return ResponseReader(lambda: connection.recv(65536)).response(method)

    def health(self, target: str) -> tuple[int, str]:
        """Status and line of `/livez` or `/readyz`."""
        response = self.ask(target)
        return response.status, response.body.decode().rstrip("\n")

    def metrics(self) -> Metrics:
        """The metrics now."""
        response = self.ask("/metrics")
        assert response.status == 200
        return Metrics(response.body.decode())

    def status(self) -> dict[str, Any]:
        """What `/status.json` tells now of the server."""
        response = self.ask("/status.json")
        assert response.status == 200
        told: dict[str, Any] = json.loads(response.body)
        return told

    def process(self) -> dict[str, Any]:
        """What `/status.json` tells now of the server's only process."""
        [process] = self.status()["processes"]
        told: dict[str, Any] = process
        return told

    def wait_for_health(self, target: str, status: int, line: str) -> None:
        """Waits until that is the answer."""
        wait_until(lambda: self.health(target) == (status, line), f"{target} to say {line!r}")

    def wait_for(self, expected: float, name: str, **labels: str) -> None:
        """Waits until a number is what is expected: what a client has noticed already may be counted a bit later."""
        wait_until(lambda: self.metrics().value(name, **labels) >= expected, f"{name} {labels} to be {expected}")
        assert self.metrics().value(name, **labels) == expected


def admin_at(host: str, port: int) -> Admin:
    """The client of a port."""
    return Admin(lambda: socket.create_connection((host, port), DEADLINE))


def admin_of(server: EmbeddedServer) -> Admin:
    """The client of a server in this process, which serves or starts."""
    wait_until(lambda: server.server._server_run is not None, "the server to open its addresses")
    serving = server.server._server_run
    assert serving is not None
    host, port = serving.admin_listeners[0].getsockname()[:2]
    return admin_at(host, port)


def admin_of_process(server: ServerProcess) -> Admin:
    """The client of a server process."""
    match = server.wait_for_line(ADMIN_LINE)
    return admin_at(match[1], int(match[2]))


def admin_at_path(path: str) -> Admin:
    """The client of a Unix socket."""

    def connect() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(DEADLINE)
        connection.connect(path)
        return connection

    return Admin(connect)
