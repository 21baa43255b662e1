"""A middleware in Django's way, for synchronous and asynchronous chains."""

# mypy: disable-error-code="import-untyped,untyped-decorator"
import threading
from typing import Any

from django.utils.decorators import sync_and_async_middleware


@sync_and_async_middleware
def thread_header(get_response: Any) -> Any:
    """Tells which thread answered."""

    async def middleware(request: Any) -> Any:
        response = await get_response(request)
        response["x-thread"] = threading.current_thread().name
        return response

    return middleware
