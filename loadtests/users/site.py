"""Somebody who walks through an HTML site with a session, as over WSGI with Flask or Django."""

import random

from locust import task

from loadtests.apps import catalogue
from loadtests.users.visitor import Visitor, require, require_json, require_status


class SiteUser(Visitor):
    """Think time from half a second to three seconds.

    The front page counts the visits in the session, whose cookie has to come back; one visit in ten begins without.
    """

    think_time = (0.5, 3.0)
    visits = 0

    @task(6)
    def open_front_page(self) -> None:
        if random.random() < 0.1:
            self.client.cookiejar.clear()
            self.visits = 0
        with self.client.get("/", catch_response=True) as response:
            require_status(response)
            self.visits += 1
            require(response.text == catalogue.page(self.visits), "another page than expected, or a lost session")

    @task(3)
    def show_item(self) -> None:
        item = random.choice(catalogue.ITEMS)
        with self.client.get(f"/api/items/{item['id']}", name="/api/items/ID", catch_response=True) as response:
            require_json(response, item)

    @task
    def order(self) -> None:
        item = random.choice(catalogue.ITEMS)
        wanted = {"item": item["id"], "quantity": 1}
        with self.client.post("/api/orders", json=wanted, catch_response=True) as response:
            require_json(response, {**wanted, "total": item["price"]})
