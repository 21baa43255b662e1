"""Sentry, with a transport that tells stderr of errors."""

# mypy: ignore-errors
import sys

import sentry_sdk
from sentry_sdk.transport import Transport


class Console(Transport):
    """Takes the place of Sentry's server."""

    def capture_envelope(self, envelope):
        for item in envelope.items:
            if item.type == "event":
                print("an error is reported to Sentry", file=sys.stderr, flush=True)


def report_errors(*integrations):
    """Begins to report, with these integrations and those that are always there, as the one for logging."""
    sentry_sdk.init(
        dsn="http://key@127.0.0.1/1",
        transport=Console,
        traces_sample_rate=1.0,
        integrations=integrations,
        auto_enabling_integrations=False,
    )
