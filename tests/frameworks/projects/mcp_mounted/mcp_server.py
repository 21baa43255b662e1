"""The server of tools."""

import secrets

from mcp.server.mcpserver import MCPServer

instance = secrets.token_hex()
server = MCPServer("catalogue")
