"""The loads under which servers are compared: which application, and what its users do."""

from dataclasses import dataclass

from loadtests.errors import LoadTestError
from loadtests.harness.loads import one_path, users
from loadtests.harness.measurement import Measurement
from loadtests.request import Request
from loadtests.servers.commands import Interface


@dataclass(frozen=True, kw_only=True)
class Scenario(Measurement):
    """A measurement for all servers of an interface."""

    interface: Interface = "asgi"
    websockets: bool = False
    needs_locust: bool = False


def hello(name: str, interface: Interface, app: str) -> Scenario:
    """Return the ceiling: one path again and again."""
    title = f"Hello world over {interface.upper()}, without pauses"
    return Scenario(name=name, title=title, app=app, load=one_path, interface=interface)


def site(
    name: str, title: str, user: str, framework: str = "starlette", *, websockets: bool = False, aside: str = ""
) -> Scenario:
    """Return a scenario on the site, over ASGI or by one of its frameworks over WSGI."""
    is_asgi = framework == "starlette"
    return Scenario(
        name=name,
        title=title,
        app="loadtests.apps.site:app" if is_asgi else f"loadtests.apps.site_{framework}:app",
        load=users(user, aside),
        request=Request("/api/items?page=1"),
        requires=(framework,),
        interface="asgi" if is_asgi else "wsgi",
        websockets=websockets,
        needs_locust=True,
    )


SCENARIOS = (
    hello("hello", "asgi", "loadtests.apps.hello:app"),
    hello("hello-wsgi", "wsgi", "loadtests.apps.wsgi:hello"),
    site("json", "JSON API with think time", "JsonApiUser"),
    site("browser", "Pages with their assets, as browsers ask", "BrowserUser"),
    site("transfers", "Uploads, downloads and streams", "TransferUser"),
    site("events", "Server-sent events, one each 100 ms", "EventsUser"),
    site("chat", "WebSocket chat", "ChatUser", websockets=True),
    site("mixed", "Quick requests, while one in a hundred blocks", "MixedUser", aside="/block"),
    site("flask", "Flask site with sessions", "SiteUser", "flask"),
    site("django", "Django site with sessions", "SiteUser", "django"),
)
NAMES = [scenario.name for scenario in SCENARIOS]


def own(app: str, path: str, interface: Interface) -> Scenario:
    """Return the scenario of somebody's own application. Its answers may differ: they may tell the time, for instance.

    Raises LoadTestError where one of these cannot be right.
    """
    module, _, attribute = app.partition(":")
    if not (module and attribute):
        raise LoadTestError(f"--app {app}: has to be MODULE:ATTRIBUTE")
    if not path.startswith("/"):
        raise LoadTestError(f"--path {path}: has to begin with /")
    return Scenario(
        name="own",
        title=f"{app}, {path}",
        app=app,
        load=one_path,
        request=Request(path),
        interface=interface,
        same_answer=False,
    )
