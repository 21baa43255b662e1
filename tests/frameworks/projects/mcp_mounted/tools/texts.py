"""Texts."""

from mcp_server import instance, server


@server.tool()
def whose() -> str:
    """Tells which instance has this tool."""
    from tools import texts

    return instance if texts.whose is whose else ""
