"""What certificates say about themselves: names as RFC 4514 writes them, and dates."""

import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority, needs_openssl

from threadserve.tls.x509 import format_subject, parse_elements, read_expiry

UNKNOWN = "1.3.6.1.4.1.1466.0"


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ((), ""),
        (((("commonName", "Alice"),),), "CN=Alice"),
        (((("countryName", "DE"),), (("organizationName", "Acme"),)), "O=Acme,C=DE"),
        (((("organizationalUnitName", "Sales"), ("commonName", "J. Smith")),), "OU=Sales+CN=J. Smith"),
        (((("domainComponent", "net"),), (("userId", "jsmith"),)), "UID=jsmith,DC=net"),
        (((("emailAddress", "a@example.org"),),), "emailAddress=a@example.org"),
        (((("commonName", 'a,b+c"d\\e<f>g;h=i'),),), 'CN=a\\,b\\+c\\"d\\\\e\\<f\\>g\\;h=i'),
        (((("commonName", " a "),),), "CN=\\ a\\ "),
        (((("commonName", " "),),), "CN=\\ "),
        (((("commonName", "#a#"),),), "CN=\\#a#"),
        (((("commonName", "a\0b"),),), "CN=a\\00b"),
        (((("commonName", "Lučić"),),), "CN=Lučić"),
        ((((UNKNOWN, "Hi"),),), f"{UNKNOWN}=#0c024869"),
        ((((UNKNOWN, "x" * 200),),), f"{UNKNOWN}=#0c81c8" + "78" * 200),
    ],
)
def test_a_name_as_one_string(subject: Any, name: str) -> None:
    assert format_subject({"subject": subject}) == name


@needs_openssl
@pytest.mark.parametrize("days", [-3, 2, 365 * 40], ids=["past", "soon", "beyond 2049"])
def test_when_a_certificate_expires(tmp_path: Path, days: int) -> None:
    identity = Authority(tmp_path).sign("server", days=days)
    found = read_expiry(ssl.PEM_cert_to_DER_cert(identity.certificate.read_text()))
    told = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate", "-in", identity.certificate],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    assert found.timestamp() == ssl.cert_time_to_seconds(told.strip().removeprefix("notAfter="))
    assert abs(found - datetime.now(UTC) - timedelta(days=days)) < timedelta(minutes=5)


def test_elements_with_short_and_long_lengths() -> None:
    assert list(parse_elements(b"\x02\x01\x05\x04\x82\x01\x00" + b"x" * 256)) == [(2, b"\x05"), (4, b"x" * 256)]
