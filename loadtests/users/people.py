"""Users who ask for the pages and documents of the site, and one who asks any site for one path."""

import random
import re
from typing import Any

from gevent.pool import Group
from locust import task
from locust.contrib.fasthttp import ResponseContextManager

from loadtests.apps import catalogue
from loadtests.users.visitor import Visitor, is_content, is_json, require

ASSET = re.compile(r'(?:href|src)="/static/([^"]+)"')


def anything(response: ResponseContextManager) -> None:
    """Check nothing but the status."""


class Customer(Visitor):
    """Somebody who looks at items and orders some."""

    abstract = True

    def show_item(self, name: str = "/api/items/ID") -> None:
        item = random.choice(catalogue.ITEMS)
        self.ask(f"/api/items/{item['id']}", is_json(item), name=name)

    def order(self, most: int) -> None:
        item, quantity = random.choice(catalogue.ITEMS), random.randint(1, most)
        wanted: dict[str, Any] = {"item": item["id"], "quantity": quantity}
        self.ask("/api/orders", is_json({**wanted, "total": quantity * item["price"]}), json=wanted)


class JsonApiUser(Customer):
    """Lists, single items, orders, and now and then a mistake. Think time from half a second to two seconds."""

    think_time = (0.5, 2.0)

    @task(6)
    def list_items(self) -> None:
        page = random.randint(1, catalogue.PAGES)
        self.ask(f"/api/items?page={page}", is_json(catalogue.items_on(page)), name="/api/items")

    @task(10)
    def look(self) -> None:
        self.show_item()

    @task(3)
    def buy(self) -> None:
        self.order(most=5)

    @task
    def show_nothing(self) -> None:
        self.ask(f"/api/items/{len(catalogue.ITEMS) + 1}", anything, (404,), name="/api/items/ID unknown")

    @task
    def order_badly(self) -> None:
        self.ask("/api/orders", anything, (422,), json=[], name="/api/orders refused")


class BrowserUser(Visitor):
    """A page, then all that it names at once, over a few connections that are kept alive.

    Think time from one to five seconds. For one page in five the browser comes back with new connections.
    """

    think_time = (1.0, 5.0)
    return_share = 0.2

    @task
    def open_page(self) -> None:
        if random.random() < self.return_share:
            self.hang_up()
        if not self.ask("/", is_page):
            return
        group = Group()
        try:
            group.map(self.load_asset, catalogue.STATIC)
        finally:
            group.kill()

    def load_asset(self, name: str) -> None:
        media_type, content = catalogue.STATIC[name]
        self.ask(f"/static/{name}", is_content(content, media_type))


def is_page(response: ResponseContextManager) -> None:
    """Check that the front page is whole and names its assets."""
    page = response.text or ""
    is_whole = set(ASSET.findall(page)) == set(catalogue.STATIC) and page.endswith("</html>")
    require(is_whole, "another page than expected")


class SiteUser(Customer):
    """A walk through an HTML site with a session, as over WSGI. Think time from half a second to three seconds.

    The front page counts the visits in the session, whose cookie has to come back; one visit in ten begins without.
    """

    think_time = (0.5, 3.0)
    visits = 0

    @task(6)
    def open_front_page(self) -> None:
        if random.random() < 0.1:
            self.client.cookiejar.clear()
            self.visits = 0
        self.ask("/", self.counts_the_visit)

    @task(3)
    def look(self) -> None:
        self.show_item()

    @task
    def buy(self) -> None:
        self.order(most=1)

    def counts_the_visit(self, response: ResponseContextManager) -> None:
        self.visits += 1
        require(response.text == catalogue.page(self.visits), "another page than expected, or a lost session")


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

    @task(1)
    def block(self) -> None:
        self.ask("/block", is_content(b"blocked"))


class PathUser(Visitor):
    """A visitor of `--path` without think time; every status below 400 will do, and redirections are followed."""

    @task
    def open_path(self) -> None:
        self.ask(self.environment.parsed_options.path, anything, range(200, 400))
