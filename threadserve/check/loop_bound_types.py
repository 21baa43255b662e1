"""A table of the classes whose objects belong to one event loop, by name, so that no library need be installed.

Runs on any thread. It owns nothing, imports nothing, and calls nothing of the objects.
"""

from typing import TypeGuard, TypeVar

from threadserve.instances.project import is_within

Kind = TypeVar("Kind")

# The classes by package; their subclasses count as well.
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


def find_loop_bound_type(value: object) -> str | None:
    """Return the name of the loop-bound class that an object is an instance of, or None."""
    for cls in type(value).__mro__:
        module, name = cls.__module__, cls.__qualname__
        for package, names in LOOP_BOUND_CLASSES:
            if name in names and isinstance(module, str) and is_within(module, [package]):
                return f"{package.lstrip('_')}.{name.removesuffix('Adapter')}"
    return None


def is_instance(value: object, *kinds: type[Kind]) -> TypeGuard[Kind]:
    """Return whether an object's own type is one of these. Asking a proxy by `isinstance` could set up its target."""
    return issubclass(type(value), kinds)
