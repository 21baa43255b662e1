"""What belongs to an event loop, made where it is imported."""

import asyncio

import httpx

http = httpx.AsyncClient(verify=False)
one_at_a_time = asyncio.Lock()
few_at_a_time = asyncio.Semaphore(2)
