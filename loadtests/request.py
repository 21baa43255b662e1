"""The request that a load generator sends again and again."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """A GET, or with a body a POST of JSON. `fields` are sent beside the necessary ones."""

    path: str = "/"
    body: str = ""
    new_connection: bool = False
    tls: bool = False
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def headers(self) -> dict[str, str]:
        """The headers beside those that every HTTP client sends."""
        headers = {"Content-Type": "application/json"} if self.body else {}
        return headers | ({"Connection": "close"} if self.new_connection else {}) | dict(self.fields)

    def url(self, port: int) -> str:
        """Return its URL at a server on the loopback interface."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{port}{self.path}"


GET_ROOT = Request()
