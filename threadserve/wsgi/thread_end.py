"""What frameworks keep open for a thread until it ends, and do not close then.

Runs on the pool thread that ends. Keeps nothing.
"""

import logging
import sys

logger = logging.getLogger("threadserve.error")


def close_kept_open() -> None:
    """Closes the thread's persistent connections to Django's databases (`CONN_MAX_AGE`). Raises nothing.

    Left alone they would stay open until the garbage collector comes for them, for the objects that have them refer to
    one another.
    """
    db = sys.modules.get("django.db")
    if db is None:
        return
    try:
        db.connections.close_all()
    except Exception as error:
        # The project may not even have settings: whoever imports Django need not use it.
        logger.debug("Django's connections could not be closed: %r", error)
