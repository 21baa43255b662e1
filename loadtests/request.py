"""What a load generator asks again and again."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """What is asked again and again; with a body it is a POST of JSON."""

    path: str = "/"
    body: str = ""
    new_connection: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """The headers beside those that every HTTP client sends."""
        headers = {"Content-Type": "application/json"} if self.body else {}
        return headers | ({"Connection": "close"} if self.new_connection else {})


GET_ROOT = Request()
