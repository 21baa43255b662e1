"""The one error of the load tests, and what their commands exit with."""

import click

INTERRUPTED = 130  # 128 and the number of SIGINT, as a shell counts.


class LoadTestError(click.ClickException):
    """A measurement cannot be made; its text is one line that says why. A command that it ends exits with 2."""

    exit_code = 2


def require(condition: object, otherwise: str) -> None:
    """Raise LoadTestError unless the condition holds."""
    if not condition:
        raise LoadTestError(otherwise)
