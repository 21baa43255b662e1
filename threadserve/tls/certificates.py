"""TLS: the contexts that connections are encrypted with, and their renewal while the server serves.

`Certificates` belongs to the server's thread, which alone loads and reloads; a loop may get its own part on its own
thread. Each loop has a context to itself, so that handshakes on different threads share nothing. Nothing here touches
a connection.
"""

import logging
import os
import re
import ssl
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from threadserve.config import Config
from threadserve.errors import ConfigError
from threadserve.tls.x509 import format_subject, read_expiry

logger = logging.getLogger("threadserve.error")

ALPN_PROTOCOLS = ["http/1.1"]
ALPN_PROTOCOLS_WITH_HTTP2 = ["h2", "http/1.1"]
# The general constants that `ssl_version` may be, besides that of TLS 1.2.
ANY_VERSION = frozenset({ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS})
VERSION_NUMBERS = {"TLSv1": 0x0301, "TLSv1.1": 0x0302, "TLSv1.2": 0x0303, "TLSv1.3": 0x0304}

CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
FILES = ("ssl_certfile", "ssl_keyfile", "ssl_ca_certs")

# The time of a file's last change, in nanoseconds, its size and its inode; None where there is no such file.
CertificateStamp = tuple[int, int, int] | None


class TLSExtension(TypedDict):
    """The scope's `tls` extension (ASGI TLS extension 0.2)."""

    server_cert: str | None
    client_cert_chain: list[str]
    client_cert_name: str | None
    client_cert_error: str | None
    tls_version: int | None
    cipher_suite: int | None


@dataclass(frozen=True, slots=True, eq=False)
class LoopTls:
    """The TLS context of one loop's connections. Made by the server's thread, used by the loop's alone.

    `certificate` is the server's own in PEM, where it is known, and `suites` are the numbers of its ciphers by name.
    """

    context: ssl.SSLContext
    certificate: str | None
    suites: dict[str, int]

    def describe(self, connection: ssl.SSLObject) -> TLSExtension:
        """Return the scope's `tls` extension for a connection, whose handshake is over.

        A client's certificate that is not valid never comes so far: the handshake fails.
        """
        cipher = connection.cipher()
        return {
            "server_cert": self.certificate,
            "client_cert_chain": [ssl.DER_cert_to_PEM_cert(each) for each in get_client_chain(connection)],
            "client_cert_name": format_subject(connection.getpeercert() or {}) or None,
            "client_cert_error": None,
            "tls_version": VERSION_NUMBERS.get(connection.version() or ""),
            "cipher_suite": self._get_suite(cipher[0]) if cipher else None,
        }

    def _get_suite(self, cipher: str) -> int | None:
        # Not by `get`, which in 3.13t locks the dictionary twice for a key that another thread has made, and waits for
        # itself until it has yielded 40 times: on a busy machine a tenth of a second for each connection.
        return self.suites[cipher] if cipher in self.suites else None  # noqa: SIM401


def get_client_chain(connection: ssl.SSLObject) -> list[bytes]:
    """Return the certificates that the client has sent, in DER, its own first; before Python 3.13 only its own."""
    own = connection.getpeercert(binary_form=True)
    if sys.version_info >= (3, 13) and own is not None:
        # A resumed session has no chain.
        return [bytes(each) for each in connection.get_unverified_chain()] or [own]
    return [own] if own is not None else []


class Certificates:
    """The contexts of all loops. Belongs to the server's thread, except for `get_threadsafe`.

    Raises `ConfigError` with the option, the file and what is wrong with it.
    """

    def __init__(self, config: Config, loops: int) -> None:
        self._config = config
        self._loops = loops
        self._seen = self._loaded = read_stamps(config)
        self._per_loop = load_loop_contexts(config, loops)

    def get_threadsafe(self, number: int) -> LoopTls:
        """Return the context of loop `number`, counted from 1, for new connections. May be called on any thread."""
        return self._per_loop[number - 1]

    def reload_if_changed(self) -> bool:
        """Reload when a file has changed; return whether there are new contexts. To be called about once a second.

        Files are reloaded a call after the change, if they have not changed again: a certificate and its key are two.
        """
        seen, self._seen = self._seen, read_stamps(self._config)
        return seen == self._seen != self._loaded and self.reload()

    def reload(self) -> bool:
        """Reload the files; return whether that succeeded. What was loaded before stays in use if it did not."""
        self._loaded = self._seen = read_stamps(self._config)
        try:
            self._per_loop = load_loop_contexts(self._config, self._loops)
        except Exception as error:
            cause = None if isinstance(error, ConfigError) else error
            logger.error("The TLS certificates cannot be reloaded, the old ones stay: %s", error, exc_info=cause)
            return False
        logger.info("Reloaded the TLS certificates.")
        return True


def load_certificates(config: Config, loops: int) -> Certificates | None:
    """Return the certificates for so many loops, or None where the server does not encrypt. Raises `ConfigError`."""
    if config.is_ssl:
        return Certificates(config, loops)
    if config.ssl_keyfile is not None:
        raise ConfigError("ssl_keyfile", "a key is of no use without --ssl-certfile")
    return None


def read_stamps(config: Config) -> list[CertificateStamp]:
    """Return the state of the files that the configuration names."""
    return [_read_stamp(getattr(config, option)) for option in FILES]


def _read_stamp(path: str | os.PathLike[str] | None) -> CertificateStamp:
    """Return the state of a file; that of its target where it is a link."""
    try:
        status = Path(path).stat() if path is not None else None
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino) if status is not None else None


def load_loop_contexts(config: Config, loops: int) -> list[LoopTls]:
    """Return a context for each loop, all alike. Raises `ConfigError`; a program's factory may raise anything."""
    per_loop = [_load_loop_context(config) for _ in range(loops)]
    if config.ssl_certfile is not None:
        warn_if_expired(config.ssl_certfile)
    if config.ssl_cert_reqs != ssl.CERT_NONE and config.ssl_ca_certs is None and config.ssl_context_factory is None:
        logger.warning("Without --ssl-ca-certs no client certificate is accepted.")
    return per_loop


def _load_loop_context(config: Config) -> LoopTls:
    """Return the context of one loop, from the program's factory where it has one."""
    made: list[ssl.SSLContext] = []

    def default_factory() -> ssl.SSLContext:
        made.append(make_context(config))
        return made[-1]

    factory = config.ssl_context_factory
    context = factory(config, default_factory) if factory is not None else default_factory()
    if not isinstance(context, ssl.SSLContext):
        raise ConfigError("ssl_context_factory", f"it returned {context!r}, not an ssl.SSLContext")
    is_ours = any(each is context for each in made)
    certificate = normalize_pem(read_certificates(config.ssl_certfile)[0]) if is_ours and config.ssl_certfile else None
    suites = {cipher["name"]: cipher["id"] & 0xFFFF for cipher in context.get_ciphers()}
    return LoopTls(context, certificate, suites)


def make_context(config: Config) -> ssl.SSLContext:
    """Return a context with safe defaults and the configuration's settings. Raises `ConfigError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    if config.ssl_version == ssl.PROTOCOL_TLSv1_2:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    elif config.ssl_version not in ANY_VERSION:
        raise ConfigError("ssl_version", f"{int(config.ssl_version)} is no protocol for a server with TLS 1.2 and up")
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(ALPN_PROTOCOLS_WITH_HTTP2 if config.http2 else ALPN_PROTOCOLS)
    load_certificate(context, config)
    if config.ssl_ca_certs is not None:
        load_authorities(context, config.ssl_ca_certs)
    context.verify_mode = ssl.VerifyMode(config.ssl_cert_reqs)
    if config.ssl_ciphers:
        set_ciphers(context, config.ssl_ciphers)
    return context


def load_certificate(context: ssl.SSLContext, config: Config) -> None:
    """Load the server's certificate and key. Raises `ConfigError`; never asks for a password on the terminal."""
    certfile, keyfile = config.ssl_certfile, config.ssl_keyfile
    if certfile is None:
        raise ConfigError("ssl_certfile", "it is needed for the default context")
    read_certificates(certfile)
    key_option = "ssl_keyfile" if keyfile is not None else "ssl_certfile"
    key_path = keyfile if keyfile is not None else certfile
    if not PRIVATE_KEY.search(read_option_file(key_option, key_path)):
        raise ConfigError(key_option, f"no private key in PEM in {os.fspath(key_path)}")
    asked = False

    def password() -> str:
        nonlocal asked
        asked = True
        return config.ssl_keyfile_password or ""

    try:
        context.load_cert_chain(certfile, keyfile, password)
    except (ssl.SSLError, ValueError) as error:
        raise make_key_error(error, key_option, key_path, asked, config) from None


def make_key_error(
    error: Exception, key_option: str, key_path: str | os.PathLike[str], asked: bool, config: Config
) -> ConfigError:
    """Return the error for a certificate and a key that are both there and cannot be used."""
    path = os.fspath(key_path)
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return ConfigError(key_option, f"the key in {path} does not belong to the certificate")
    if asked and not config.ssl_keyfile_password:
        return ConfigError("ssl_keyfile_password", f"the key in {path} is encrypted and needs its password")
    if asked:
        return ConfigError("ssl_keyfile_password", f"it is not the password of the key in {path}")
    return ConfigError(key_option, f"the key in {path} cannot be read")


def read_certificates(path: str | os.PathLike[str]) -> list[bytes]:
    """Return the server's certificate and those after it, in PEM. Raises `ConfigError` unless they can be read."""
    found = CERTIFICATE.findall(read_option_file("ssl_certfile", path))
    try:
        if found:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=b"\n".join(found).decode("ascii"))
            return found
    except (ssl.SSLError, UnicodeError):
        pass
    raise ConfigError("ssl_certfile", f"no certificate in PEM in {os.fspath(path)}")


def normalize_pem(certificate: bytes) -> str:
    """Return a certificate from a file with the line ends and lengths that PEM usually has."""
    return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(certificate.decode("ascii")))


def load_authorities(context: ssl.SSLContext, path: str | os.PathLike[str]) -> None:
    """Load the authorities that client certificates must come from. Raises `ConfigError`."""
    read_option_file("ssl_ca_certs", path)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError:
        raise ConfigError("ssl_ca_certs", f"no certificate in PEM in {os.fspath(path)}") from None


def set_ciphers(context: ssl.SSLContext, ciphers: str) -> None:
    """Choose the ciphers of TLS 1.2; those of 1.3 are OpenSSL's. Raises `ConfigError`."""
    try:
        context.set_ciphers(ciphers)
    except ssl.SSLError:
        raise ConfigError("ssl_ciphers", f"OpenSSL knows no cipher in {ciphers!r}") from None


def read_option_file(option: str, path: str | os.PathLike[str]) -> bytes:
    """Return the content of a file that an option names. Raises `ConfigError`."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(option, f"cannot read {os.fspath(path)}: {error.strerror}") from None


def warn_if_expired(path: str | os.PathLike[str]) -> None:
    """Log a warning where the server's certificate, or one that comes with it, has expired.

    Clients will refuse it, but whoever starts the server may have no other at hand.
    """
    for each in read_certificates(path):
        expired = read_expiry(ssl.PEM_cert_to_DER_cert(each.decode()))
        if expired < datetime.now(UTC):
            logger.warning("A certificate in %s expired on %s.", os.fspath(path), f"{expired:%Y-%m-%d %H:%M:%S} UTC")
