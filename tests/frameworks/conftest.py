"""A server for each framework's site, shared by all scenarios, and clients on each of its threads."""

from collections.abc import Iterator

import httpx
import pytest
from support.server_process import ServerProcess
from support.sites import SITES, Site, clients_of_all_threads, serving


@pytest.fixture(scope="module", params=SITES, ids=str)
def site(request: pytest.FixtureRequest) -> Site:
    """The site in one of the frameworks."""
    found = request.param
    assert isinstance(found, Site)
    return found


@pytest.fixture(scope="module")
def server(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The site's server. When it has ended, its log must have no error, nor say that the site turned the GIL on."""
    with serving(site, tmp_path_factory.mktemp(site.framework)) as running:
        yield running
    for unwanted in ("ERROR", "Traceback", "The GIL is on"):
        assert unwanted not in running.stderr


@pytest.fixture
def clients(server: ServerProcess) -> Iterator[list[httpx.Client]]:
    """Clients, of which every thread has two."""
    with clients_of_all_threads(server.url) as opened:
        yield opened
