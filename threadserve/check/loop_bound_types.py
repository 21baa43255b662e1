"""Which objects belong to one event loop: a table of their classes' names, so that no library needs to be installed.

Runs on whichever thread asks. It owns nothing, imports nothing, and calls nothing of the objects.
"""

from typing import Any

from threadserve.instances.project import is_within

# The package, and its classes, which their subclasses go with.
LOOP_BOUND_CLASSES: tuple[tuple[str, frozenset[str]], ...] = (
    (
        "asyncio",
        frozenset(
            {"Lock", "Event", "Condition", "Semaphore", "Barrier", "Queue", "Future", "TaskGroup", "AbstractEventLoop"}
        ),
    ),
    ("_asyncio", frozenset({"Future"})),
    (
        "anyio",
        frozenset({"Lock", "Event", "Condition", "Semaphore", "CapacityLimiter", "TaskGroup"})
        | frozenset({"LockAdapter", "EventAdapter", "SemaphoreAdapter", "CapacityLimiterAdapter"})
        | frozenset({"MemoryObjectSendStream", "MemoryObjectReceiveStream"}),
    ),
    ("httpx", frozenset({"AsyncClient"})),
    ("aiohttp", frozenset({"ClientSession", "BaseConnector"})),
    ("asyncpg", frozenset({"Pool", "Connection"})),
    ("redis.asyncio", frozenset({"Redis", "RedisCluster", "ConnectionPool", "Connection", "PubSub", "Sentinel"})),
    ("sqlalchemy.ext.asyncio", frozenset({"AsyncEngine", "AsyncConnection", "AsyncSession", "async_scoped_session"})),
    ("pymongo", frozenset({"AsyncMongoClient"})),
    ("motor", frozenset({"AgnosticClient", "AsyncIOMotorClient"})),
)


def find_loop_bound_type(value: Any) -> str | None:
    """What belongs to one loop, by the name that it is known by, or None if the object does not."""
    for cls in type(value).__mro__:
        module, name = cls.__module__, cls.__qualname__
        for package, names in LOOP_BOUND_CLASSES:
            if name in names and isinstance(module, str) and is_within(module, [package]):
                return f"{package.lstrip('_')}.{name.removesuffix('Adapter')}"
    return None


def is_instance(value: Any, *kinds: type) -> bool:
    """Whether an object is of one of these types itself: a proxy that is asked may set up what it stands for."""
    return issubclass(type(value), kinds)
