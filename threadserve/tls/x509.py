"""The parts of certificates (X.509) that the standard library does not tell.

Runs on the thread that asks; keeps nothing. It reads certificates that OpenSSL has accepted, and verifies none.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

# RFC 4514 section 3: the names that every reader knows. Others have OpenSSL's, which are LDAP's.
SHORT_NAMES = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
ESCAPED_CHARACTERS = frozenset('"+,;<>\\')

UTF8_STRING = 0x0C
UTC_TIME = 0x17
EXPLICIT_VERSION = 0xA0


def format_subject(certificate: dict[str, Any]) -> str:
    """Return the subject of a certificate, as `ssl.SSLObject.getpeercert` gives it (RFC 4514 section 2)."""
    return ",".join(
        "+".join(format_attribute(kind, value) for kind, value in rdn)
        for rdn in reversed(certificate.get("subject", ()))
    )


def format_attribute(kind: str, value: str) -> str:
    """Return one attribute of a name (RFC 4514 sections 2.3 and 2.4)."""
    if kind[0].isdigit():
        data = value.encode()
        return f"{kind}=#{(bytes([UTF8_STRING]) + encode_length(len(data)) + data).hex()}"
    return f"{SHORT_NAMES.get(kind, kind)}={escape_value(value)}"


def escape_value(value: str) -> str:
    """Return a value with a backslash before characters with a meaning (RFC 4514 section 2.4)."""
    text = "".join(f"\\{char}" if char in ESCAPED_CHARACTERS else char for char in value).replace("\0", "\\00")
    if text.startswith((" ", "#")):
        text = f"\\{text}"
    if value.endswith(" ") and len(value) > 1:
        text = f"{text[:-1]}\\ "
    return text


def read_expiry(certificate: bytes) -> datetime:
    """Return the time at which a certificate in DER expires (`notAfter`, RFC 5280 section 4.1.2.5)."""
    _, body = next(parse_elements(certificate))
    _, to_be_signed = next(parse_elements(body))
    fields = [content for tag, content in parse_elements(to_be_signed) if tag != EXPLICIT_VERSION]
    # The serial number, the algorithm and the issuer come before it.
    _, (tag, not_after) = parse_elements(fields[3])
    text = not_after.decode("ascii")
    if tag == UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def parse_elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the tags and contents of consecutive elements in DER (X.690 section 8.1)."""
    position = 0
    while position < len(data):
        tag, length = data[position], data[position + 1]
        position += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[position : position + size], "big")
            position += size
        yield tag, data[position : position + length]
        position += length


def encode_length(length: int) -> bytes:
    """Return the length of an element in DER (X.690 section 10.1)."""
    if length < 0x80:
        return bytes([length])
    size = (length.bit_length() + 7) // 8
    return bytes([0x80 | size]) + length.to_bytes(size, "big")
