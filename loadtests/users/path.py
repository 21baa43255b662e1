"""Somebody who asks any site for one path again and again."""

from locust import task

from loadtests.users.visitor import Visitor, require_status


class PathUser(Visitor):
    """No think time. `--path` says what it asks for; every status below 400 will do, and redirections are followed."""

    @task
    def ask(self) -> None:
        with self.client.get(self.environment.parsed_options.path, catch_response=True) as response:
            require_status(response, range(200, 400))
