"""Quick requests, of which one in a hundred holds the thread that answers it for half a second."""

import random

from locust import task

from loadtests.apps import catalogue
from loadtests.users.visitor import Visitor, require, require_json, require_status


class MixedUser(Visitor):
    """Think time from 50 to 150 ms. A fifth of the requests comes on a new connection, the others are kept alive."""

    think_time = (0.05, 0.15)

    @task(79)
    def show_item(self) -> None:
        self.ask_for_item("/api/items/ID")

    @task(20)
    def show_item_to_newcomer(self) -> None:
        self.hang_up()
        self.ask_for_item("/api/items/ID on a new connection")

    @task(1)
    def block(self) -> None:
        with self.client.get("/block", catch_response=True) as response:
            require_status(response)
            require(response.text == "blocked", "another answer than expected")

    def ask_for_item(self, name: str) -> None:
        item = random.choice(catalogue.ITEMS)
        with self.client.get(f"/api/items/{item['id']}", name=name, catch_response=True) as response:
            require_json(response, item)
