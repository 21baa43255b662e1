"""The settings of TLS: what contexts come of them, and the one line for each that cannot be."""

import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.apps import hello
from support.certificates import PASSWORD, Authority, Identity
from support.server_process import ServerProcess
from support.waiting import DEADLINE

from threadserve import Config
from threadserve.errors import ConfigError
from threadserve.tls.certificates import LoopTls, load_certificates

APP = "support.steered_app:app"
TESTS = str(Path(__file__).parents[1])


def load(**settings: Any) -> LoopTls:
    """What a server with these settings encrypts with."""
    certificates = load_certificates(Config(hello, **settings), 1)
    assert certificates is not None
    return certificates.get_threadsafe(1)


def problem(**settings: Any) -> tuple[str, str]:
    """The option and what is said of it."""
    with pytest.raises(ConfigError) as failure:
        load(**settings)
    assert "\n" not in str(failure.value)
    return failure.value.option, failure.value.problem


def test_safe_defaults(identity: Identity) -> None:
    context = load(**identity.settings).context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.maximum_version in (ssl.TLSVersion.MAXIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_3)
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.verify_mode == ssl.CERT_NONE


def test_a_key_in_the_file_of_the_certificate(identity: Identity, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_text(identity.key.read_text() + identity.certificate.read_text())
    assert load(ssl_certfile=both).certificate == identity.certificate.read_text()


def test_an_encrypted_key(identity: Identity) -> None:
    settings = {**identity.settings, "ssl_keyfile": identity.encrypted_key}
    assert load(**settings, ssl_keyfile_password=PASSWORD).context


@pytest.mark.parametrize("version", [ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS])
def test_constants_for_any_version(identity: Identity, version: int) -> None:
    context = load(**identity.settings, ssl_version=int(version)).context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_the_constant_for_one_version(identity: Identity) -> None:
    context = load(**identity.settings, ssl_version=int(ssl.PROTOCOL_TLSv1_2)).context
    assert context.maximum_version == ssl.TLSVersion.TLSv1_2


def test_each_loop_has_a_context_of_its_own(identity: Identity) -> None:
    certificates = load_certificates(Config(hello, **identity.settings), 3)
    assert certificates is not None
    assert len({id(certificates.get_threadsafe(number).context) for number in (1, 2, 3)}) == 3


def test_without_tls_there_are_no_certificates() -> None:
    assert load_certificates(Config(hello), 1) is None


@pytest.mark.parametrize("version", [ssl.PROTOCOL_TLSv1, ssl.PROTOCOL_TLSv1_1, ssl.PROTOCOL_TLS_CLIENT, 99])
def test_versions_that_are_not_served(identity: Identity, version: int) -> None:
    assert problem(**identity.settings, ssl_version=int(version)) == (
        "ssl_version",
        f"{int(version)} is no protocol for a server with TLS 1.2 and up",
    )


def test_a_cipher_that_is_not_known(identity: Identity) -> None:
    assert problem(**identity.settings, ssl_ciphers="CAESAR") == (
        "ssl_ciphers",
        "OpenSSL knows no cipher in 'CAESAR'",
    )


@pytest.mark.parametrize("option", ["ssl_certfile", "ssl_keyfile", "ssl_ca_certs"])
def test_a_file_that_is_not_there(identity: Identity, tmp_path: Path, option: str) -> None:
    path = tmp_path / "nothing"
    settings = {**identity.settings, option: path}
    assert problem(**settings) == (option, f"cannot read {path}: No such file or directory")
    assert problem(**{**settings, option: tmp_path}) == (option, f"cannot read {tmp_path}: Is a directory")


BROKEN = "-----BEGIN {0}-----\nAAAA\n-----END {0}-----\n"


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("ssl_certfile", "no certificate", "no certificate in PEM in {}"),
        ("ssl_certfile", BROKEN.format("CERTIFICATE"), "no certificate in PEM in {}"),
        ("ssl_keyfile", "no key", "no private key in PEM in {}"),
        ("ssl_keyfile", BROKEN.format("PRIVATE KEY"), "the key in {} cannot be read"),
        ("ssl_ca_certs", "no certificate", "no certificate in PEM in {}"),
        ("ssl_ca_certs", BROKEN.format("CERTIFICATE"), "no certificate in PEM in {}"),
    ],
)
def test_a_file_with_something_else(identity: Identity, tmp_path: Path, option: str, text: str, said: str) -> None:
    path = tmp_path / "file.pem"
    path.write_text(text)
    assert problem(**{**identity.settings, option: path}) == (option, said.format(path))


def test_a_key_is_missing(identity: Identity) -> None:
    path = identity.certificate
    assert problem(ssl_certfile=path) == ("ssl_certfile", f"no private key in PEM in {path}")


def test_a_certificate_is_missing(identity: Identity) -> None:
    assert problem(ssl_keyfile=identity.key) == ("ssl_keyfile", "a key is of no use without --ssl-certfile")


def test_somebody_else_s_key(identity: Identity, client_identity: Identity) -> None:
    path = client_identity.key
    settings = {**identity.settings, "ssl_keyfile": path}
    assert problem(**settings) == ("ssl_keyfile", f"the key in {path} does not belong to the certificate")


@pytest.mark.parametrize(
    ("password", "said"),
    [
        (None, "the key in {} is encrypted and needs its password"),
        ("", "the key in {} is encrypted and needs its password"),
        ("wrong", "it is not the password of the key in {}"),
        ("x" * 2000, "it is not the password of the key in {}"),
    ],
)
def test_a_password_that_does_not_open_the_key(identity: Identity, password: str | None, said: str) -> None:
    path = identity.encrypted_key
    settings = {**identity.settings, "ssl_keyfile": path, "ssl_keyfile_password": password}
    assert problem(**settings) == ("ssl_keyfile_password", said.format(path))


@pytest.mark.skipif(shutil.which("script") is None, reason="there is no command script, which gives a terminal")
def test_the_terminal_is_never_asked_for_a_password(identity: Identity) -> None:
    options = ["--ssl-certfile", str(identity.certificate), "--ssl-keyfile", str(identity.encrypted_key)]
    server = f"{sys.executable} -m threadserve {APP} --app-dir {TESTS} --port 0 {' '.join(options)}"
    command = ["script", "--quiet", "--return", "--command", server, "/dev/null"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=Path(TESTS).parent, check=False)
    assert done.returncode == 2
    assert "needs its password" in done.stdout
    assert "Enter PEM" not in done.stdout


@pytest.mark.parametrize(
    "expected", [("--ssl-keyfile-password", "wrong", "not the password"), ("--ssl-ciphers", "CAESAR", "'CAESAR'")]
)
@pytest.mark.parametrize("processes", [(), ("--workers", "2"), ("--reload",)], ids=["one", "workers", "reload"])
def test_a_wrong_option_is_one_line_at_start(
    identity: Identity, expected: tuple[str, str, str], processes: tuple[str, ...]
) -> None:
    option, value, said = expected
    key = [*identity.options[:-1], str(identity.encrypted_key), "--ssl-keyfile-password", PASSWORD]
    options = [*processes, *key, option, value]
    server = ServerProcess(APP, "--app-dir", TESTS, *options)
    server.start(wait=False)
    assert server.wait(3 * DEADLINE) == 2
    (line,) = server.stderr.splitlines()
    assert line.startswith(f"Error: Invalid value for '{option}': ")
    assert said in line
    server.kill()


def test_an_expired_certificate_is_one_line_and_served(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    old = authority.sign("expired", days=-3)
    load(**old.settings)
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    assert record.getMessage().startswith(f"A certificate in {old.certificate} expired on 20")


def test_a_good_certificate_is_no_line(identity: Identity, caplog: pytest.LogCaptureFixture) -> None:
    load(**identity.settings)
    assert caplog.records == []


def test_client_certificates_without_an_authority(identity: Identity, caplog: pytest.LogCaptureFixture) -> None:
    load(**identity.settings, ssl_cert_reqs=2)
    assert [record.getMessage() for record in caplog.records] == [
        "Without --ssl-ca-certs no client certificate is accepted."
    ]


def test_a_factory_may_change_the_default(identity: Identity) -> None:
    def make(config: Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        context = default()
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context

    made = load(**identity.settings, ssl_context_factory=make)
    assert made.context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert made.certificate == identity.certificate.read_text()


def test_a_factory_that_returns_something_else() -> None:
    assert problem(ssl_context_factory=lambda config, default: None) == (
        "ssl_context_factory",
        "it returned None, not an ssl.SSLContext",
    )


def test_a_factory_that_wants_a_default_without_a_certificate() -> None:
    assert problem(ssl_context_factory=lambda config, default: default()) == (
        "ssl_certfile",
        "it is needed for the default context",
    )
