"""Tasks, which the API sends and, here, does at once."""

import structlog
from celery import Celery

celery = Celery("tasks", broker="memory://", backend="cache+memory://")
celery.conf.task_always_eager = True
log = structlog.get_logger("tasks")


class Refused(Exception):
    pass


@celery.task
def add(numbers: list[int]) -> int:
    if not numbers:
        raise Refused("nothing to add")
    log.info("added", numbers=len(numbers))
    return sum(numbers)


# Or the first call on each thread would do it, and one could find the task half bound by another's.
celery.finalize()
