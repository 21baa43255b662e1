"""nginx as one process, with nothing of the machine's configuration."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from support.programs import running_program
from support.waiting import wait_until

# What a distribution's nginx.conf has around its sites.
CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {site}
}}
"""


@contextmanager
def running_nginx(folder: Path, site: str, is_open: Callable[[], object]) -> Iterator[None]:
    """Runs nginx with what stands in `site`, from when `is_open` tells that it listens. Raises with its log else."""
    configuration, log = folder / "nginx.conf", folder / "nginx.log"
    configuration.write_text(CONFIGURATION.format(folder=folder, site=site))
    with running_program(["nginx", "-e", "stderr", "-p", folder, "-c", configuration], log):
        wait_until(lambda: is_open() or log.stat().st_size, "nginx to start")
        assert is_open(), log.read_text()
        yield
