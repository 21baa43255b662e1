"""What a client may try, with `Forwarded` and X-Forwarded-For, to be taken for somebody else; no server runs here."""

import asyncio
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from threadserve.proxies.forwarded import FORWARDED_FIELDS, TrustedHosts, read_forwarded

TRUSTED = "127.0.0.1,10.0.0.0/8,::1,_proxy"
CLIENT = "192.0.2.1"

trusted_hops = st.sampled_from(["127.0.0.1", "10.1.2.3", "::1", "127.0.0.1:80", "[::1]:443", "10.0.0.1:1"])
hops = trusted_hops | st.sampled_from(
    [
        "192.0.2.9",
        "192.0.2.9:80",
        "2001:db8::9",
        "[2001:db8::9]:80",
        "[::1",
        "[]",
        "[x]:y",
        ":1",
        "a:b:c",
        "unknown",
        "",
    ]
)
# Every byte that means something in these fields, and what a client would want to be taken for.
pieces = st.sampled_from(
    [
        '"',
        "\\",
        ",",
        ";",
        "=",
        " ",
        "\t",
        "[",
        "]",
        ":",
        "for",
        "For=",
        "for=192.0.2.9",
        'for="192.0.2.9',
        "proto=https",
    ]
) | st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f")
texts = st.lists(pieces, max_size=12).map("".join)
separators = st.sampled_from([",", ", ", " ,\t"])
# A proxy quotes what it takes from the client, such as the Host.
quoted = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12).map(
    lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
)


def client_in(name: bytes, *values: str) -> Any:
    fields = [(name, value.encode("latin-1")) for value in values]
    found = read_forwarded(fields, TrustedHosts(TRUSTED), FORWARDED_FIELDS)
    return found and found.client


@given(sent=texts, separator=separators, proxies=st.lists(trusted_hops, max_size=3), own_line=st.booleans())
def test_nothing_to_the_left_of_the_client_counts(
    sent: str, separator: str, proxies: list[str], own_line: bool
) -> None:
    appended = ", ".join([CLIENT, *proxies])
    values = [sent, appended] if own_line else [sent + separator + appended]
    assert client_in(b"x-forwarded-for", *values) == (CLIENT, 0)


@given(sent=texts, separator=separators, host=quoted, own_line=st.booleans())
@example(sent='for=192.0.2.9;a="', separator=", ", host='";a=b"', own_line=False)
@example(sent='for=192.0.2.9;a="\\', separator=", ", host='"\\""', own_line=False)
def test_nothing_to_the_left_of_the_proxys_element_counts(sent: str, separator: str, host: str, own_line: bool) -> None:
    for appended in (
        f"for={CLIENT};host={host}",
        f'host={host};for="{CLIENT}:0"',
        f"for={CLIENT};host={host}, for=10.0.0.1;host={host}, for=_proxy",
    ):
        values = [sent, appended] if own_line else [sent + separator + appended]
        assert client_in(b"forwarded", *values) == (CLIENT, 0)


@given(value=texts, believed=st.sampled_from(sorted(FORWARDED_FIELDS)))
def test_any_value_is_taken_without_an_error(value: str, believed: bytes) -> None:
    scope = {"type": "http", "scheme": "http", "headers": [(b"host", b"a")], "root_path": "", "path": "/"}
    found = read_forwarded([(believed, value.encode("latin-1"))], TrustedHosts(TRUSTED), FORWARDED_FIELDS)
    if found is not None:
        found.apply(scope)


@given(values=st.lists(st.lists(hops, min_size=1, max_size=5).map(", ".join), min_size=1, max_size=3))
@pytest.mark.parametrize("trusted", ["127.0.0.1,10.0.0.0/8,::1", "*", ""])
def test_same_as_uvicorn(values: list[str], trusted: str) -> None:
    middleware = pytest.importorskip("uvicorn.middleware.proxy_headers")
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"])

    fields = [(b"x-forwarded-for", value.encode()) for value in values]
    scope = {"type": "http", "client": ("127.0.0.1", 1), "scheme": "http", "headers": fields}
    asyncio.run(
        middleware.ProxyHeadersMiddleware(app, f"127.0.0.1,{trusted}" if trusted != "*" else "*")(scope, None, None)
    )
    found = read_forwarded(fields, TrustedHosts(f"127.0.0.1,{trusted}"))
    assert seen == [(found and found.client) or ("127.0.0.1", 1)]


@pytest.mark.parametrize(
    "value",
    [
        "," * 60_000,
        '"' * 60_000,
        "\\" * 60_000,
        '\\"' * 30_000,
        "a=b;" * 15_000,
        ";" * 60_000,
        '="' * 30_000,
        "/a" * 30_000,
    ],
)
@pytest.mark.parametrize("name", sorted(FORWARDED_FIELDS))
def test_largest_values_take_no_time(name: bytes, value: str) -> None:
    for trusted in (TRUSTED, "*"):
        begin = time.process_time()
        read_forwarded([(name, value.encode())], TrustedHosts(trusted), FORWARDED_FIELDS)
        # A hundredth of a second is usual; what is quadratic takes a minute.
        assert time.process_time() - begin < 2
