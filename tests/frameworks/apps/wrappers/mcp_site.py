"""The MCP SDK's server, over streamable HTTP and over server-sent events."""

# mypy: ignore-errors
from mcp.server.mcpserver import MCPServer

server = MCPServer("site")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


app = server.streamable_http_app()
app.router.routes.extend(server.sse_app().routes)
