"""The cleanup of per-thread resources that frameworks leave open at a thread's end.

Runs on the pool thread that ends. Keeps no state.
"""

import logging
import sys

logger = logging.getLogger("threadserve.error")


def close_database_connections() -> None:
    """Close the thread's persistent connections to Django's databases (`CONN_MAX_AGE`). Raises nothing.

    Otherwise they would stay open until the garbage collector frees them, for they are in reference cycles.
    """
    db = sys.modules.get("django.db")
    if db is None:
        return
    try:
        db.connections.close_all()
    except Exception as error:
        # The project may have no settings: Django may be imported without being used.
        logger.debug("Django's connections could not be closed: %r", error)
