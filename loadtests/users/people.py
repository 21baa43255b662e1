"""Users who ask for the pages, documents and bodies of the site, and one who asks any site for one path."""

import random

from gevent.pool import Group
from locust import task

from loadtests.apps import catalogue
from loadtests.users.visitor import Visitor

BODIES = {size: b"".join(catalogue.pieces(size)) for size in (10_000, 100_000, 1_000_000)}
LINES = 50


class Customer(Visitor):
    """Somebody who opens the front page, looks at items and orders some."""

    abstract = True
    visits = 0

    def open_page(self) -> bool:
        """Open the front page, which counts the visits in a session, whose cookie has to come back."""
        self.visits += 1
        is_right = self.ask("/", catalogue.page(self.visits))
        if not is_right:
            self.forget()
        return is_right

    def forget(self) -> None:
        """Begin a new session."""
        self.client.cookiejar.clear()
        self.visits = 0

    def show_item(self, name: str = "/api/items/ID") -> None:
        item = random.choice(catalogue.ITEMS)
        self.ask(f"/api/items/{item['id']}", item, name=name)

    def order(self) -> None:
        wanted = {"item": random.choice(catalogue.ITEMS)["id"], "quantity": random.randint(1, 5)}
        self.ask("/api/orders", catalogue.ordered(wanted), json=wanted)


class JsonApiUser(Customer):
    """Lists, single items, orders, and now and then a mistake. Think time from half a second to two seconds."""

    think_time = (0.5, 2.0)

    @task(6)
    def list_items(self) -> None:
        page = random.randint(1, catalogue.PAGES)
        self.ask(f"/api/items?page={page}", catalogue.items_on(page), name="/api/items")

    @task(10)
    def look(self) -> None:
        self.show_item()

    @task(3)
    def buy(self) -> None:
        self.order()

    @task
    def show_nothing(self) -> None:
        self.ask(f"/api/items/{len(catalogue.ITEMS) + 1}", status=404, name="/api/items/ID unknown")

    @task
    def order_badly(self) -> None:
        self.ask("/api/orders", status=422, json=[], name="/api/orders refused")


class BrowserUser(Customer):
    """A page, then all its assets at once, over a few connections that are kept alive.

    Think time from one to five seconds. For one page in five the browser comes back with new connections.
    """

    think_time = (1.0, 5.0)

    @task
    def browse(self) -> None:
        if random.random() < 0.2:
            self.hang_up()
        if self.open_page():
            group = Group()
            try:
                group.map(self.load_asset, catalogue.STATIC)
            finally:
                group.kill()

    def load_asset(self, name: str) -> None:
        self.ask(f"/static/{name}", catalogue.STATIC[name][1])


class SiteUser(Customer):
    """A walk through an HTML site with a session, as over WSGI. Think time from half a second to three seconds.

    One visit of the front page in ten begins without a session.
    """

    think_time = (0.5, 3.0)

    @task(6)
    def visit(self) -> None:
        if random.random() < 0.1:
            self.forget()
        self.open_page()

    @task(3)
    def look(self) -> None:
        self.show_item()

    @task
    def buy(self) -> None:
        self.order()


class MixedUser(Customer):
    """Quick requests, of which one in a hundred holds the thread that answers it for half a second.

    Think time from 50 to 150 ms. A fifth of the requests comes on a new connection, the others are kept alive.
    """

    think_time = (0.05, 0.15)

    @task(79)
    def look(self) -> None:
        self.show_item()

    @task(20)
    def look_as_newcomer(self) -> None:
        self.hang_up()
        self.show_item("/api/items/ID on a new connection")

    @task
    def block(self) -> None:
        self.ask("/block", b"blocked")


class TransferUser(Visitor):
    """Uploads with their length and in chunks, downloads and streams, whose times are those until the last byte.

    Think time from half a second to two seconds.
    """

    think_time = (0.5, 2.0)

    @task(2)
    def upload(self) -> None:
        size, body = random.choice([*BODIES.items()])
        self.ask("/upload", {"bytes": size}, data=body)

    @task
    def upload_chunked(self) -> None:
        size = random.choice([*BODIES])
        self.ask("/upload", {"bytes": size}, data=catalogue.pieces(size), name="/upload chunked")

    @task(3)
    def download(self) -> None:
        size, body = random.choice([*BODIES.items()])
        self.ask(f"/download?bytes={size}", body, name="/download")

    @task
    def stream(self) -> None:
        self.ask(f"/stream?lines={LINES}", b"".join(catalogue.lines(LINES)), name="/stream")


class PathUser(Visitor):
    """A visitor of `--path` without think time; every status below 400 will do, and redirections are followed."""

    @task
    def open_path(self) -> None:
        self.client.get(self.environment.parsed_options.path)
