"""The application."""

import secrets
import threading
from typing import Annotated

from fastapi import Depends, FastAPI, Response
from prometheus_client import make_asgi_app
from sqlmodel import Session, SQLModel, select

from heroes.database import engine, session
from heroes.metrics import added
from heroes.tables import Hero, Team

app = FastAPI()
app.mount("/metrics", make_asgi_app())
instance = secrets.token_hex()
SQLModel.metadata.create_all(engine)


@app.get("/")
async def page(response: Response) -> str:
    response.headers.update({"x-thread": threading.current_thread().name, "x-instance": instance})
    return "a page"


@app.post("/heroes/{team}/{name}")
async def add(team: str, name: str, session: Annotated[Session, Depends(session)]) -> str:
    session.add(Hero(name=name, team=Team(name=team)))
    session.commit()
    added.inc()
    [hero] = session.exec(select(Hero).where(Hero.name == name))
    return f"{hero.name} of {hero.team.name}"
