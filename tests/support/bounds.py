"""Other bounds than the usual ones for the servers of a test."""

from dataclasses import replace
from typing import Any

import pytest

from threadserve import Server


def give_bounds(patch: pytest.MonkeyPatch, **bounds: Any) -> None:
    """Gives the servers that are made from now on these bounds, by their names in `Bounds`, beside those they have."""
    patch.setattr(Server, "bounds", replace(Server.bounds, **bounds))
