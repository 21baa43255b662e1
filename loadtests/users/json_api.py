"""Somebody who uses the JSON API: lists, single items, orders, and now and then a mistake."""

import random

from locust import task

from loadtests.apps import catalogue
from loadtests.users.visitor import Visitor, require_json, require_status


class JsonApiUser(Visitor):
    """Think time from half a second to two seconds; the connection is kept alive."""

    think_time = (0.5, 2.0)

    @task(6)
    def list_items(self) -> None:
        page = random.randint(1, catalogue.PAGES)
        with self.client.get(f"/api/items?page={page}", name="/api/items", catch_response=True) as response:
            require_json(response, catalogue.items_on(page))

    @task(10)
    def show_item(self) -> None:
        item = random.choice(catalogue.ITEMS)
        with self.client.get(f"/api/items/{item['id']}", name="/api/items/ID", catch_response=True) as response:
            require_json(response, item)

    @task(3)
    def order(self) -> None:
        item, quantity = random.choice(catalogue.ITEMS), random.randint(1, 5)
        wanted = {"item": item["id"], "quantity": quantity}
        with self.client.post("/api/orders", json=wanted, catch_response=True) as response:
            require_json(response, {**wanted, "total": quantity * item["price"]})

    @task
    def show_nothing(self) -> None:
        number = len(catalogue.ITEMS) + 1
        with self.client.get(f"/api/items/{number}", name="/api/items/ID unknown", catch_response=True) as response:
            require_status(response, (404,))
            response.success()

    @task
    def order_badly(self) -> None:
        with self.client.post("/api/orders", json=[], name="/api/orders refused", catch_response=True) as response:
            require_status(response, (422,))
            response.success()
