"""What every response carries. Declarations only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from threadserve.config.checks import header_fields
from threadserve.config.declaring import setting


@dataclass(eq=False, kw_only=True)
class Headers:
    """Response headers."""

    heading: ClassVar = "Response headers"

    headers: Sequence[tuple[str, str]] = setting(
        (),
        "Add this header to every response; may be repeated.",
        check=header_fields,
        flag="--header",
        metavar="NAME:VALUE",
    )
    server_header: bool = setting(True, "Send the Server header.")
    date_header: bool = setting(True, "Send the Date header.")
