"""What the scope says of an encrypted connection (ASGI TLS extension)."""

import ssl
import subprocess
import sys
from typing import Any

import pytest
from support.apps import Recorder, hello
from support.certificates import Authority, Identity
from support.embedded_server import Serve
from support.raw_client import Connect
from support.tls_client import ConnectTls

# RFC 8446 appendix B.4 and RFC 5289.
SUITES = [
    (ssl.TLSVersion.TLSv1_3, None, 0x0304, 0x1302),
    (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-GCM-SHA256", 0x0303, 0xC02B),
    (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-GCM-SHA384", 0x0303, 0xC02C),
]


def facts(recorder: Recorder) -> dict[str, Any]:
    """The extension in the last scope."""
    extension = recorder.scopes[-1]["extensions"]["tls"]
    assert isinstance(extension, dict)
    return extension


def pem(identity: Identity | Authority) -> str:
    """A certificate."""
    return identity.certificate.read_text()


@pytest.mark.parametrize(("version", "cipher", "number", "suite"), SUITES)
def test_a_client_without_a_certificate(
    serve: Serve,
    connect_tls: ConnectTls,
    authority: Authority,
    identity: Identity,
    version: ssl.TLSVersion,
    cipher: str | None,
    number: int,
    suite: int,
) -> None:
    recorder = Recorder(hello)
    context = authority.client_context()
    context.minimum_version = context.maximum_version = version
    if cipher is not None:
        context.set_ciphers(cipher)
    client = connect_tls(serve(recorder), context)
    for _ in range(2):
        client.get()
        assert facts(recorder) == {
            "server_cert": pem(identity),
            "client_cert_chain": [],
            "client_cert_name": None,
            "client_cert_error": None,
            "tls_version": number,
            "cipher_suite": suite,
        }


def test_the_scheme(serve: Serve, connect_tls: ConnectTls) -> None:
    recorder = Recorder(hello)
    connect_tls(serve(recorder)).get()
    assert recorder.scopes[0]["scheme"] == "https"


def test_an_open_connection_has_no_extension(serve: Serve, connect: Connect) -> None:
    recorder = Recorder(hello)
    connect(serve(recorder, ssl_certfile=None, ssl_keyfile=None)).get()
    assert recorder.scopes[0]["scheme"] == "http"
    assert "tls" not in recorder.scopes[0]["extensions"]


@pytest.mark.parametrize("required", [1, 2])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_with_a_certificate(
    serve: Serve,
    connect_tls: ConnectTls,
    authority: Authority,
    client_identity: Identity,
    required: int,
    version: ssl.TLSVersion,
) -> None:
    recorder = Recorder(hello)
    server = serve(recorder, ssl_cert_reqs=required, ssl_ca_certs=str(authority.certificate))
    context = authority.client_context(client_identity)
    context.minimum_version = context.maximum_version = version
    connect_tls(server, context).get()
    assert facts(recorder)["client_cert_chain"][0] == pem(client_identity)
    assert facts(recorder)["client_cert_name"] == openssl_name(client_identity) == "CN=Alice,O=Acme\\, Inc.,C=DE"
    assert facts(recorder)["client_cert_error"] is None


def openssl_name(identity: Identity) -> str:
    """A certificate's subject, as openssl writes it."""
    command = ["openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253", "-in", str(identity.certificate)]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return told.strip().removeprefix("subject=")


def test_a_client_with_no_certificate_where_one_is_welcome(
    serve: Serve, connect_tls: ConnectTls, authority: Authority
) -> None:
    recorder = Recorder(hello)
    connect_tls(serve(recorder, ssl_cert_reqs=1, ssl_ca_certs=str(authority.certificate))).get()
    assert (facts(recorder)["client_cert_chain"], facts(recorder)["client_cert_name"]) == ([], None)


def test_a_chain(
    serve: Serve,
    connect_tls: ConnectTls,
    authority: Authority,
    client_identity: Identity,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    both = tmp_path_factory.mktemp("chain") / "both.pem"
    both.write_text(pem(client_identity) + pem(authority))
    context = authority.client_context()
    context.load_cert_chain(both, client_identity.key)
    recorder = Recorder(hello)
    connect_tls(serve(recorder, ssl_cert_reqs=2, ssl_ca_certs=str(authority.certificate)), context).get()
    sent = [pem(client_identity), pem(authority)]
    # Before Python 3.13 only the client's own is to be had.
    assert facts(recorder)["client_cert_chain"] == (sent if sys.version_info >= (3, 13) else sent[:1])


def test_a_session_that_is_resumed(
    serve: Serve, connect: Connect, authority: Authority, client_identity: Identity
) -> None:
    recorder = Recorder(hello)
    server = serve(recorder, ssl_cert_reqs=2, ssl_ca_certs=str(authority.certificate))
    context = authority.client_context(client_identity)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    session = None
    for _ in range(2):
        client = connect(server)
        encrypted = context.wrap_socket(client.socket, server_hostname="localhost", session=session)
        client.socket = encrypted
        client.get()
        assert facts(recorder)["client_cert_chain"][0] == pem(client_identity)
        assert facts(recorder)["client_cert_name"] == "CN=Alice,O=Acme\\, Inc.,C=DE"
        session = encrypted.session
    assert encrypted.session_reused


def test_a_context_of_the_program_s_own(
    serve: Serve, connect_tls: ConnectTls, authority: Authority, identity: Identity
) -> None:
    def make(config: object, default: object) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.certificate, identity.key)
        return context

    recorder = Recorder(hello)
    connect_tls(serve(recorder, ssl_certfile=None, ssl_keyfile=None, ssl_context_factory=make)).get()
    # Which certificate such a context sends is not to be had.
    assert facts(recorder)["server_cert"] is None
    assert facts(recorder)["tls_version"] == 0x0304
