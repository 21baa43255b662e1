"""The loads under which servers are compared: which application, and what its users do."""

from dataclasses import dataclass

from loadtests.errors import LoadTestError
from loadtests.servers.commands import Interface

# The user class that asks one path again and again, as wrk and h2load do.
ONE_PATH = "PathUser"
ASGI_SITE = "loadtests.apps.site:app"
FLASK_SITE = "loadtests.apps.site_flask:app"
DJANGO_SITE = "loadtests.apps.site_django:app"


@dataclass(frozen=True)
class Scenario:
    """One load on one application.

    `user` is the class of Locust's users. `path` is what each server is asked first, and what `PathUser` asks. `aside`
    is the name of requests whose own latency is no matter; with `timeline` the times of all others are kept.
    `same_answer` is whether all servers have to answer the first request alike.
    """

    name: str
    title: str
    interface: Interface
    app: str
    requires: tuple[str, ...] = ()
    user: str = ONE_PATH
    path: str = "/api/items?page=1"
    websockets: bool = False
    aside: str = ""
    timeline: bool = False
    same_answer: bool = True

    @property
    def is_ceiling(self) -> bool:
        """Whether one path is asked again and again, without pauses, so that other load generators can do it too."""
        return self.user == ONE_PATH


SCENARIOS = (
    Scenario("hello", "Hello world over ASGI, without pauses", "asgi", "loadtests.apps.hello:app", path="/"),
    Scenario("hello-wsgi", "Hello world over WSGI, without pauses", "wsgi", "loadtests.apps.wsgi:hello", path="/"),
    Scenario("json", "JSON API with think time", "asgi", ASGI_SITE, ("starlette",), "JsonApiUser"),
    Scenario("browser", "Pages with their assets, as browsers ask", "asgi", ASGI_SITE, ("starlette",), "BrowserUser"),
    Scenario("transfers", "Uploads, downloads and streams", "asgi", ASGI_SITE, ("starlette",), "TransferUser"),
    Scenario("events", "Server-sent events, one each 100 ms", "asgi", ASGI_SITE, ("starlette",), "EventsUser"),
    Scenario("chat", "WebSocket chat", "asgi", ASGI_SITE, ("starlette",), "ChatUser", websockets=True),
    Scenario(
        name="mixed",
        title="Quick requests, while one in a hundred blocks",
        interface="asgi",
        app=ASGI_SITE,
        requires=("starlette",),
        user="MixedUser",
        aside="/block",
        timeline=True,
    ),
    Scenario("flask", "Flask site with sessions", "wsgi", FLASK_SITE, ("flask",), "SiteUser"),
    Scenario("django", "Django site with sessions", "wsgi", DJANGO_SITE, ("django",), "SiteUser"),
)
NAMES = [scenario.name for scenario in SCENARIOS]


def own(app: str, path: str, interface: Interface) -> Scenario:
    """The scenario of somebody's own application. Its answers may differ: they may tell the time, for instance."""
    module, separator, attribute = app.partition(":")
    if not (module and separator and attribute):
        raise LoadTestError(f"--app {app}: has to be MODULE:ATTRIBUTE")
    if not path.startswith("/"):
        raise LoadTestError(f"--path {path}: has to begin with /")
    return Scenario("own", f"{app}, {path}", interface, app, path=path, same_answer=False)
