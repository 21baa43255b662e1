"""Certificates for tests, made with the `openssl` command: the same on every build of Python."""

import shutil
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest


def has_openssl() -> bool:
    """Whether there is an `openssl` command."""
    return shutil.which("openssl") is not None


needs_openssl = pytest.mark.skipif(not has_openssl(), reason="there is no openssl command")

# What `openssl ca` needs to be told: it alone signs for any two dates.
CONFIGURATION = """
[ca]
default_ca = authority
[authority]
new_certs_dir = {folder}
database = {folder}/index
rand_serial = yes
default_md = sha256
policy = anything
unique_subject = no
[anything]
countryName = optional
organizationName = optional
commonName = supplied
"""
# With what Python's clients demand from 3.13 on.
EXTENSIONS = """
basicConstraints = CA:FALSE
subjectAltName = DNS:localhost, IP:127.0.0.1
extendedKeyUsage = serverAuth, clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""
AUTHORITY_EXTENSION = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
PASSWORD = "open sesame"


class Identity:
    """A certificate with its key, in the files `certificate` and `key`; `encrypted_key` needs `PASSWORD`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.certificate = folder / f"{name}.pem"
        self.key = folder / f"{name}.key"
        self.encrypted_key = folder / f"{name}.encrypted"

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of a server that has this identity."""
        return {"ssl_certfile": str(self.certificate), "ssl_keyfile": str(self.key)}

    @property
    def options(self) -> list[str]:
        """The same on the command line."""
        return ["--ssl-certfile", str(self.certificate), "--ssl-keyfile", str(self.key)]

    def replace(self, other: "Identity") -> None:
        """Puts another identity's files in the place of these."""
        # One right after the other: a server that looks at them in between would miss the half of them.
        pairs = [
            (Path(shutil.copy(new, own.with_name(f"{own.name}.new"))), own)
            for own, new in ((self.certificate, other.certificate), (self.key, other.key))
        ]
        for new, own in pairs:
            new.rename(own)


class Authority:
    """An authority whose certificate is the file `certificate`, with the identities that it signs, in one folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.folder = folder / name
        self.folder.mkdir()
        self.certificate = self.folder / "authority.pem"
        (self.folder / "index").touch()
        (self.folder / "configuration").write_text(CONFIGURATION.format(folder=self.folder))
        (self.folder / "extensions").write_text(EXTENSIONS)
        subject = ("-subj", f"/CN=Tests {name}")
        openssl(self.folder, "req", "-x509", *EC, "-nodes", "-days", "2", *subject, *AUTHORITY_EXTENSION,
                "-keyout", "authority.key", "-out", "authority.pem")  # fmt: skip

    def sign(self, name: str, subject: str = "/CN=localhost", *, days: int = 2) -> Identity:
        """A new identity for localhost, which has expired if `days` is negative."""
        identity = Identity(self.folder, name)
        openssl(self.folder, "req", "-new", *EC, "-nodes", "-subj", subject,
                "-keyout", f"{name}.key", "-out", f"{name}.request")  # fmt: skip
        now = datetime.now(UTC)
        begin, end = (f"{now + timedelta(days=each):%Y%m%d%H%M%SZ}" for each in (min(0, days) - 1, days))
        openssl(self.folder, "ca", "-batch", "-notext", "-config", "configuration", "-extfile", "extensions",
                "-cert", "authority.pem", "-keyfile", "authority.key", "-startdate", begin, "-enddate", end,
                "-in", f"{name}.request", "-out", f"{name}.pem")  # fmt: skip
        openssl(self.folder, "pkcs8", "-topk8", "-in", f"{name}.key", "-passout", f"pass:{PASSWORD}",
                "-out", f"{name}.encrypted")  # fmt: skip
        return identity

    def client_context(self, identity: Identity | None = None) -> ssl.SSLContext:
        """How a client connects that trusts this authority, and says who it is where it has an identity."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        if identity is not None:
            context.load_cert_chain(identity.certificate, identity.key)
        return context


def openssl(folder: Path, *arguments: str) -> None:
    """Runs `openssl` in a folder."""
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)
