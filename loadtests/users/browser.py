"""Somebody with a browser: a page, then all that it names at once, over a few connections that are kept alive."""

import random
import re

from gevent.pool import Group
from locust import task

from loadtests.apps import catalogue
from loadtests.users.visitor import Visitor, require, require_status

ASSET = re.compile(r'(?:href|src)="/static/([^"]+)"')


class BrowserUser(Visitor):
    """Think time from one to five seconds. For one page in five the browser comes back with new connections."""

    think_time = (1.0, 5.0)
    return_share = 0.2

    @task
    def open_page(self) -> None:
        if random.random() < self.return_share:
            self.hang_up()
        assets = self.load_page()
        group = Group()
        try:
            group.map(self.load_asset, assets)
        finally:
            group.kill()

    def load_page(self) -> list[str]:
        """The names of the page's assets; none where the page is not as it should be."""
        with self.client.get("/", catch_response=True) as response:
            require_status(response)
            page = response.text or ""
            assets = ASSET.findall(page)
            require(set(assets) == set(catalogue.STATIC) and page.endswith("</html>"), "another page than expected")
            return assets
        return []

    def load_asset(self, name: str) -> None:
        media_type, content = catalogue.STATIC[name]
        with self.client.get(f"/static/{name}", catch_response=True) as response:
            require_status(response)
            require(response.content == content, "another content than expected")
            require(str(response.headers["content-type"]).startswith(media_type), "another type than expected")
