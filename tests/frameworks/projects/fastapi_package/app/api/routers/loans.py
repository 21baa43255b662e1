"""Loans, in a database."""

from typing import Annotated

from fastapi import APIRouter, Depends
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import Loan, Reader, session

router = APIRouter()
Session = Annotated[AsyncSession, Depends(session)]


@router.post("/{name}")
async def lend(name: str, titles: list[str], session: Session) -> list[str]:
    session.add(Reader(name=name, loans=[Loan(title=title) for title in titles]))
    await session.commit()
    reader = (await session.scalars(select(Reader).where(Reader.name == name))).one()
    return [f"{loan.reader.name}: {loan.title}" for loan in await reader.awaitable_attrs.loans]
