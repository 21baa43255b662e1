"""The API."""

import logging
import secrets
import threading

import logs  # noqa: F401
from fastapi import FastAPI, HTTPException, Response
from tasks import Refused, add, celery

app = FastAPI()
instance = secrets.token_hex()
log = logging.getLogger("api")


@app.get("/")
async def page(response: Response) -> str:
    response.headers.update({"x-thread": threading.current_thread().name, "x-instance": instance})
    return "a page"


@app.post("/sum")
def total(numbers: list[int]) -> int:
    log.info("asked for %d numbers", len(numbers))
    try:
        # Celery takes what another thread does at once for a task in which this one waits.
        return add.delay(numbers).get(disable_sync_subtasks=False)
    except Refused as error:
        raise HTTPException(400, str(error)) from error


@app.get("/tasks")
async def known() -> list[bool]:
    return [add.app is celery, celery.tasks["tasks.add"] is celery.tasks[add.name], "tasks.add" in celery.tasks]
