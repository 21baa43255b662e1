"""The loads under which servers are compared: which application, and what its users do."""

from dataclasses import dataclass
from functools import partial

from loadtests.errors import require
from loadtests.harness.loads import one_path, users
from loadtests.harness.measurement import Load, Measurement
from loadtests.request import Request
from loadtests.servers.commands import Interface


@dataclass(frozen=True, kw_only=True)
class Scenario(Measurement):
    """A measurement for all servers of an interface, without another load of one path without pauses: the ceiling."""

    load: Load = one_path
    interface: Interface = "asgi"
    websockets: bool = False


site = partial(Scenario, app="loadtests.apps.site:app", request=Request("/api/items?page=1"), requires=("starlette",))
wsgi_site = partial(site, interface="wsgi", load=users("SiteUser"))

SCENARIOS = (
    Scenario(name="hello", title="Hello world over ASGI, without pauses", app="loadtests.apps.hello:app"),
    Scenario(
        name="hello-wsgi",
        title="Hello world over WSGI, without pauses",
        app="loadtests.apps.wsgi:hello",
        interface="wsgi",
    ),
    site(name="json", title="JSON API with think time", load=users("JsonApiUser")),
    site(name="browser", title="Pages with their assets, as browsers ask", load=users("BrowserUser")),
    site(name="transfers", title="Uploads, downloads and streams", load=users("TransferUser")),
    site(name="events", title="Server-sent events, one each 100 ms", load=users("EventsUser")),
    site(name="chat", title="WebSocket chat", load=users("ChatUser"), websockets=True),
    site(name="mixed", title="Quick requests, while one in a hundred blocks", load=users("MixedUser", aside="/block")),
    wsgi_site(name="flask", title="Flask site with sessions", app="loadtests.apps.site_flask:app", requires=("flask",)),
    wsgi_site(
        name="django", title="Django site with sessions", app="loadtests.apps.site_django:app", requires=("django",)
    ),
)
NAMES = [scenario.name for scenario in SCENARIOS]


def own(app: str, path: str, interface: Interface) -> Scenario:
    """Return the scenario of somebody's own application. Its answers may differ: they may tell the time, for instance.

    Raises LoadTestError where one of these cannot be right.
    """
    module, _, attribute = app.partition(":")
    require(module and attribute, f"--app {app}: has to be MODULE:ATTRIBUTE")
    require(path.startswith("/"), f"--path {path}: has to begin with /")
    request = Request(path)
    return Scenario(
        name="own", title=f"{app}, {path}", app=app, request=request, interface=interface, same_answer=False
    )
