"""Django's own users, forms with a CSRF token, and sessions in SQLite, used by many visitors at once."""

from collections.abc import Iterator

import httpx
import pytest
from support.server_process import ServerProcess
from support.sites import (
    CHANNELS,
    DJANGO,
    PASSWORD,
    Site,
    at_once,
    clients_of_all_threads,
    register_and_log_in,
    send_form,
    serving,
)


@pytest.fixture(scope="module", params=[DJANGO, CHANNELS], ids=str)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The server of the project, with a new database."""
    site: Site = request.param
    with serving(site, tmp_path_factory.mktemp("login")) as running:
        yield running
    assert "Traceback" not in running.stderr


@pytest.fixture
def clients(server: ServerProcess) -> Iterator[list[httpx.Client]]:
    """Clients on every thread."""
    with clients_of_all_threads(server.url) as opened:
        yield opened


def test_visitors_register_log_in_and_see_their_own_account(clients: list[httpx.Client]) -> None:
    def visit(number: int, client: httpx.Client) -> str:
        register_and_log_in(client, f"visitor-{number}")
        return client.get("/account").text

    assert at_once(clients, visit) == [f"This is the account of visitor-{number}" for number in range(len(clients))]


def test_wrong_password_is_refused_on_the_form(clients: list[httpx.Client]) -> None:
    response = send_form(clients[0], "/login", username="nobody", password=PASSWORD)
    assert response.status_code == 200
    assert "Please enter a correct username and password" in response.text


def test_form_without_its_token_is_forbidden(clients: list[httpx.Client]) -> None:
    response = clients[0].post("/login", data={"username": "nobody", "password": PASSWORD})
    assert response.status_code == 403


def test_account_is_for_those_who_logged_in(clients: list[httpx.Client]) -> None:
    response = clients[0].get("/account")
    assert (response.status_code, response.headers["location"]) == (302, "/login?next=/account")
