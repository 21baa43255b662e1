"""How the log puts things. Runs on whichever thread logs; keeps nothing."""


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number with its noun, whose plural ends with "s" unless it is given."""
    return f"{count} {noun}" if count == 1 else f"{count} {plural or noun + 's'}"
