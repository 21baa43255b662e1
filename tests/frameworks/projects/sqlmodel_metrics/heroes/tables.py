"""The tables, which SQLModel registers."""

from sqlmodel import Field, Relationship, SQLModel

from heroes.names import TEAM_TABLE


class Team(SQLModel, table=True):
    __tablename__ = TEAM_TABLE
    id: int | None = Field(default=None, primary_key=True)
    name: str
    heroes: list["Hero"] = Relationship(back_populates="team")


class Hero(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    name: str
    team_id: int | None = Field(default=None, foreign_key="team.id")
    team: Team | None = Relationship(back_populates="heroes")
