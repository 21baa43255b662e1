"""The database."""

import os
from collections.abc import Iterator

from sqlmodel import Session, create_engine

engine = create_engine(f"sqlite:///{os.environ['SITE_DATABASE']}", connect_args={"timeout": 20})


def session() -> Iterator[Session]:
    with Session(engine) as opened:
        yield opened
