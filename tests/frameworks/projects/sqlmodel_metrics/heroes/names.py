"""Names, which other modules import."""

TEAM_TABLE = "team"
