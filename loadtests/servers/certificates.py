"""A certificate for servers on the loopback interface, made with the `openssl` command and trusted by nobody."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from loadtests.errors import LoadTestError

LINE = (
    *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
    *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
)
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Certificate:
    """The files of a certificate and of its key."""

    file: str
    key: str


def make(folder: Path) -> Certificate:
    """Make a new one in a folder; raises LoadTestError where there is no `openssl`, or where it fails."""
    made = Certificate(str(folder / "certificate.pem"), str(folder / "key.pem"))
    line = [*LINE, "-out", made.file, "-keyout", made.key]
    try:
        subprocess.run(line, check=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    except FileNotFoundError:
        raise LoadTestError("openssl is not installed, which makes the certificate for TLS") from None
    except subprocess.SubprocessError as error:
        said = str(getattr(error, "stderr", None) or error).splitlines()[-1:]
        raise LoadTestError(f"openssl makes no certificate: {''.join(said)}") from None
    return made
