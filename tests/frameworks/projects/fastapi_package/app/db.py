"""The database: one engine and what makes sessions, as SQLAlchemy's documentation has it."""

import os
from collections.abc import AsyncIterator

from sqlalchemy import ForeignKey, create_engine
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

FILE = os.environ["SITE_DATABASE"]
engine = create_async_engine(f"sqlite+aiosqlite:///{FILE}", connect_args={"timeout": 20})
new_session = async_sessionmaker(engine, expire_on_commit=False)


class Base(AsyncAttrs, DeclarativeBase):
    pass


class Reader(Base):
    __tablename__ = "reader"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    loans: Mapped[list["Loan"]] = relationship(back_populates="reader")


class Loan(Base):
    __tablename__ = "loan"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    reader_id: Mapped[int] = mapped_column(ForeignKey("reader.id"))
    reader: Mapped["Reader"] = relationship(back_populates="loans")


Base.metadata.create_all(create_engine(f"sqlite:///{FILE}"))


async def session() -> AsyncIterator[AsyncSession]:
    async with new_session() as opened:
        yield opened
