"""Encryption. Declarations only."""

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from threadserve.config.checks import between
from threadserve.config.declaring import LONGEST_TIMEOUT, setting


@dataclass(eq=False, kw_only=True)
class TLS:
    """Certificates, and what may be negotiated. The numbers are those of the standard library's `ssl`."""

    heading: ClassVar = "TLS"

    ssl_certfile: str | os.PathLike[str] | None = setting(
        None, "Certificate, with its chain, in PEM; turns TLS on.", metavar="FILE"
    )
    ssl_keyfile: str | os.PathLike[str] | None = setting(
        None, "Private key in PEM.", metavar="FILE", shown_default="the file of the certificate"
    )
    ssl_keyfile_password: str | None = setting(None, "Password of the private key.", metavar="TEXT")
    ssl_version: int = setting(
        int(ssl.PROTOCOL_TLS_SERVER), "Protocol constant of the module ssl.", shown_default="17: TLS 1.2 and up"
    )
    ssl_cert_reqs: int = setting(
        int(ssl.CERT_NONE), "Client certificates: 0 none, 1 optional, 2 required.", check=between(0, 2)
    )
    ssl_ca_certs: str | os.PathLike[str] | None = setting(
        None, "Authorities that client certificates are checked against, in PEM.", metavar="FILE"
    )
    ssl_ciphers: str | None = setting(
        None, "Ciphers in OpenSSL's format.", metavar="LIST", shown_default="OpenSSL's safe ones"
    )
    timeout_ssl_handshake: float = setting(
        10, "Close a connection whose handshake takes longer than this.", check=between(0.1, LONGEST_TIMEOUT)
    )
    ssl_context_factory: Callable[[Any, Callable[[], ssl.SSLContext]], ssl.SSLContext] | None = None
