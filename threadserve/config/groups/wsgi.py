"""WSGI applications and the threads that call them. Declarations only."""

from dataclasses import dataclass
from typing import ClassVar

from threadserve.config.build import number_of_threads
from threadserve.config.checks import at_least
from threadserve.config.declaring import setting


@dataclass(eq=False, kw_only=True)
class WSGI:
    """The pool of threads for WSGI applications."""

    heading: ClassVar = "WSGI"

    wsgi_threads: int | None = setting(
        None,
        "Threads that call a WSGI application.",
        check=number_of_threads,
        shown_default="twice the usable CPUs, at least 4; 10 on a build with the GIL",
    )
    wsgi_queue: int = setting(
        1024, "Requests that may wait for one of these threads; beyond it 503 is answered.", check=at_least(1)
    )
