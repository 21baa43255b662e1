"""The tools, which import the server."""

from tools import numbers, texts  # noqa: F401
