"""Numbers."""

import asyncio

from mcp_server import server
from pydantic import BaseModel

lock = asyncio.Lock()


class Sum(BaseModel):
    total: int


@server.tool()
async def add(numbers: list[int]) -> Sum:
    """Adds."""
    async with lock:
        return Sum(total=sum(numbers))
