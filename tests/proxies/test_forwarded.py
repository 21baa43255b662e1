"""What X-Forwarded-* and `Forwarded` (RFC 7239) are read as, and whom `TrustedHosts` trusts; no server runs here."""

from typing import Any

import pytest

from threadserve.proxies.forwarded import (
    FORWARDED_FIELDS,
    Forwarded,
    TrustedHosts,
    iterate_from_right,
    parse_field_names,
    read_forwarded,
)

PROXIES = "127.0.0.1,::1,10.0.0.0/8,2001:db8::/32,/run/proxy.sock,_proxy"


def read(*fields: tuple[str, str], trusted: str = PROXIES) -> Forwarded | None:
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in fields]
    return read_forwarded(pairs, TrustedHosts(trusted), FORWARDED_FIELDS)


@pytest.mark.parametrize(
    ("allowed", "host", "trusted"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "127.0.0.1:80", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", None, False),
        (["127.0.0.1", "::1"], "::1", True),
        (" 127.0.0.1 , ::1 ", "::1", True),
        ("::1", "0:0:0:0:0:0:0:1", True),
        ("10.0.0.0/8,2001:db8::/32", "10.255.0.1", True),
        ("10.0.0.0/8,2001:db8::/32", "11.0.0.1", False),
        ("10.0.0.0/8,2001:db8::/32", "2001:db8::7", True),
        ("10.0.0.0/8,2001:db8::/32", "2001:db9::7", False),
        ("10.0.0.0/8", "::ffff:10.0.0.1", True),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("10.0.0.0/8", "::ffff:11.0.0.1", False),
        ("::ffff:0:0/96", "::ffff:11.0.0.1", True),
        ("10.0.0.1", "::10.0.0.1", False),
        ("/run/proxy.sock", "/run/proxy.sock", True),
        ("/run/proxy.sock", "/run/other.sock", False),
        ("unix:/run/proxy.sock", "/run/proxy.sock", True),
        ("unix:", "/run/any.sock", True),
        ("unix:", "\0abstract", True),
        ("unix:", "127.0.0.1", False),
        ("balancer", "balancer", True),
        ("", "127.0.0.1", False),
        ([], "127.0.0.1", False),
        ("*", "anything", True),
        ("*", None, True),
        ("127.0.0.1,*", "anything", True),
        ("127.0.0.1", "1" * 100_000, False),
    ],
)
def test_trusted_hosts(allowed: Any, host: str | None, trusted: bool) -> None:
    hosts = TrustedHosts(allowed)
    assert [hosts.trusts(host), hosts.trusts(host)] == [trusted, trusted]


def test_loopback_is_trusted_unless_the_environment_says_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    assert [TrustedHosts(None).trusts(host) for host in ("127.0.0.1", "::1", "10.0.0.1")] == [True, True, False]
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.0/8")
    assert [TrustedHosts(None).trusts(host) for host in ("127.0.0.1", "::1", "10.0.0.1")] == [False, False, True]
    assert not TrustedHosts("127.0.0.1").trusts("10.0.0.1"), "what is given goes before the environment"


@pytest.mark.parametrize("network", ["10.0.0.1/8", "10.0.0.0/33", "::1/129", "10.0.0.0/"])
def test_network_that_is_none(network: str) -> None:
    with pytest.raises(ValueError, match=f"^'{network}' is no network: "):
        TrustedHosts(f"127.0.0.1,{network}")


@pytest.mark.parametrize(
    ("client", "server", "trusted"),
    [
        (("127.0.0.1", 1), ("127.0.0.1", 2), True),
        (("192.0.2.1", 1), ("127.0.0.1", 2), False),
        (None, ("/run/proxy.sock", None), True),
        (None, ("/run/other.sock", None), False),
        (None, ("127.0.0.1", 2), False),
        (None, None, False),
    ],
)
def test_other_end_of_a_connection(client: Any, server: Any, trusted: bool) -> None:
    assert TrustedHosts(PROXIES).trusts_peer(client, server) is trusted


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("192.0.2.1", ("192.0.2.1", 0)),
        ("192.0.2.1:80", ("192.0.2.1", 80)),
        ("2001:db9::1", ("2001:db9::1", 0)),
        ("[2001:db9::1]", ("2001:db9::1", 0)),
        ("[2001:db9::1]:80", ("2001:db9::1", 80)),
        ("[2001:db9::1]:x", ("2001:db9::1", 0)),
        ("[2001:db9::1", ("[2001:db9::1", 0)),
        ("[2001:db9::1]x:80", ("[2001:db9::1]x:80", 0)),
        ("192.0.2.1:x", ("192.0.2.1:x", 0)),
        ("192.0.2.1:65536", ("192.0.2.1:65536", 0)),
        ("unknown", ("unknown", 0)),
        (" 192.0.2.1 ", ("192.0.2.1", 0)),
        # The first from the right that is no proxy.
        ("192.0.2.9, 192.0.2.1", ("192.0.2.1", 0)),
        ("192.0.2.9, 192.0.2.1, 127.0.0.1", ("192.0.2.1", 0)),
        ("192.0.2.9, 192.0.2.1:5, 127.0.0.1:6, [::1]:7,10.1.2.3", ("192.0.2.1", 5)),
        ("192.0.2.9, _proxy", ("192.0.2.9", 0)),
        ("127.0.0.1, garbage, 127.0.0.1", ("garbage", 0)),
        # Nobody but proxies.
        ("10.0.0.1:5, 127.0.0.1", ("10.0.0.1", 5)),
        # Nothing to go by.
        ("", None),
        ("192.0.2.9,", None),
        ("192.0.2.9, , 127.0.0.1", None),
        (":80", None),
    ],
)
def test_x_forwarded_for(value: str, client: Any) -> None:
    found = read(("x-forwarded-for", value))
    assert (found and found.client) == client


def test_lines_of_one_field_are_one_list() -> None:
    lines = [("x-forwarded-for", "192.0.2.9"), ("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "127.0.0.1")]
    assert read(*lines) == Forwarded(("192.0.2.1", 0))
    lines = [("forwarded", "for=192.0.2.9"), ("forwarded", "for=192.0.2.1;proto=https"), ("forwarded", "for=127.0.0.1")]
    assert read(*lines) == Forwarded(("192.0.2.1", 0), "https")


def test_leftmost_where_everybody_is_trusted() -> None:
    assert read(("x-forwarded-for", "192.0.2.9:7, 192.0.2.1"), trusted="*") == Forwarded(("192.0.2.9", 7))
    assert read(("forwarded", "for=192.0.2.9;proto=https, for=192.0.2.1"), trusted="*") == Forwarded(
        ("192.0.2.9", 0), "https"
    )


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("proto", "https", {"scheme": "https"}),
        ("proto", "wss", {"scheme": "https"}),
        ("proto", "http, https", {"scheme": "https"}),
        ("proto", "HTTPS", {"scheme": "https"}),
        ("proto", "Wss", {"scheme": "https"}),
        ("proto", "gopher", {}),
        ("proto", "", {}),
        ("host", "example.org", {"host": "example.org"}),
        ("host", "example.org:81", {"host": "example.org:81"}),
        ("host", "[::1]:81", {"host": "[::1]:81"}),
        ("host", "forged.example, example.org", {"host": "example.org"}),
        ("host", "example.org/path", {}),
        ("host", "example.org:65536", {}),
        ("host", "user@example.org", {}),
        ("host", "exam ple.org", {}),
        ("port", "8443", {"port": 8443}),
        ("port", "1, 8443", {"port": 8443}),
        ("port", "0", {}),
        ("port", "65536", {}),
        ("port", "http", {}),
        ("prefix", "/api", {"prefix": "/api"}),
        ("prefix", "/api/", {"prefix": "/api"}),
        ("prefix", "/a/b%20c", {"prefix": "/a/b%20c"}),
        ("prefix", "/forged, /api", {"prefix": "/api"}),
        ("prefix", "api", {}),
        ("prefix", "//forged.example", {}),
        ("prefix", "/api?a", {}),
        ("prefix", "/a%zz", {}),
        ("prefix", "/", {}),
        ("prefix", "", {}),
    ],
)
def test_other_x_forwarded_fields(name: str, value: str, found: dict[str, Any]) -> None:
    assert read((f"x-forwarded-{name}", value)) == (Forwarded(None, **found) if found else None)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("for=192.0.2.1", Forwarded(("192.0.2.1", 0))),
        ("For=192.0.2.1;PROTO=HTTPS", Forwarded(("192.0.2.1", 0), "https")),
        ('for="192.0.2.1:80"', Forwarded(("192.0.2.1", 80))),
        ("for=192.0.2.1:80", Forwarded(("192.0.2.1", 80))),
        ('for="[2001:db9::1]:80"; host="example.org:81"', Forwarded(("2001:db9::1", 80), None, "example.org:81")),
        ('for="\\192.0.2.1"', Forwarded(("192.0.2.1", 0))),
        ("for=unknown", Forwarded(("unknown", 0))),
        ("for=_hidden", Forwarded(("_hidden", 0))),
        ('for="192.0.2.1:_port"', Forwarded(("192.0.2.1", 0))),
        ("for=192.0.2.9, for=_proxy", Forwarded(("192.0.2.9", 0))),
        ("by=10.0.0.1;for=192.0.2.1", Forwarded(("192.0.2.1", 0))),
        ('a="b;for=192.0.2.9,for=192.0.2.8";for=192.0.2.1', Forwarded(("192.0.2.1", 0))),
        # The element that names the client says the rest too.
        ("for=192.0.2.1;proto=https;host=a, for=10.0.0.1;proto=http;host=b", Forwarded(("192.0.2.1", 0), "https", "a")),
        ("for=192.0.2.9;proto=https, for=192.0.2.1", Forwarded(("192.0.2.1", 0))),
        ("for=192.0.2.1, , ", None),
        ("proto=https", Forwarded(None, "https")),
        ("for=192.0.2.9, proto=https", Forwarded(None, "https")),
        # Malformed.
        ("for", None),
        ("for=", None),
        ("192.0.2.1", None),
        ('for="192.0.2.1', None),
        ("for=192.0.2.1;for=192.0.2.2", None),
        ("for =192.0.2.1", None),
        ("", None),
    ],
)
def test_standard_field(value: str, found: Forwarded | None) -> None:
    assert read(("forwarded", value)) == found


@pytest.mark.parametrize(
    ("value", "elements"),
    [
        ("", [""]),
        ("a, b,c", ["c", "b", "a"]),
        ('a="1,2", b', ["b", 'a="1,2"']),
        ('a="\\",", b="\\\\"', ['b="\\\\"', 'a="\\","']),
        # The proxy's element is the first, whatever the client left open.
        ('a="open, for=1', ["for=1", 'a="open']),
        ('a="open, b="2"', ['b="2"', 'a="open']),
        ('a="\\, b="2,3"', ['b="2,3"', 'a="\\']),
    ],
)
def test_elements_are_told_apart_from_the_right(value: str, elements: list[str]) -> None:
    assert next(iterate_from_right(value)) == elements[0]
    if value.count('"') % 2 == 0:
        assert list(iterate_from_right(value)) == elements


def test_standard_field_counts_only_without_x_forwarded_for() -> None:
    standard = ("forwarded", "for=192.0.2.9;proto=https;host=forged.example")
    assert read(standard, ("x-forwarded-for", "192.0.2.1")) == Forwarded(("192.0.2.1", 0))
    assert read(standard, ("x-forwarded-proto", "http")) == Forwarded(("192.0.2.9", 0), "http", "forged.example")


def test_only_what_is_believed_counts() -> None:
    fields = [(b"x-forwarded-for", b"192.0.2.1"), (b"x-forwarded-host", b"forged.example"), (b"x-other", b"1")]
    trusted = TrustedHosts("127.0.0.1")
    assert read_forwarded(fields, trusted) == Forwarded(("192.0.2.1", 0))
    assert read_forwarded(fields, trusted, parse_field_names("X-Forwarded-Host")) == Forwarded(
        None, host="forged.example"
    )
    assert read_forwarded(fields, trusted, frozenset()) is None
    standard = [*fields, (b"forwarded", b"for=192.0.2.2")]
    assert read_forwarded(standard, trusted, parse_field_names(["forwarded"])) == Forwarded(("192.0.2.2", 0))


def test_names_of_fields() -> None:
    assert parse_field_names("X-Forwarded-For, forwarded,") == {b"x-forwarded-for", b"forwarded"}
    with pytest.raises(ValueError, match=r"^'X-Real-IP' is not one of forwarded, x-forwarded-for, "):
        parse_field_names(["X-Forwarded-For", "X-Real-IP"])


def scope(**values: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "root_path": "",
        "path": "/a b",
        "raw_path": b"/a%20b",
        "headers": [(b"x", b"y"), (b"host", b"own.example:8000")],
        **values,
    }


@pytest.mark.parametrize(
    ("forwarded", "before", "changes"),
    [
        (Forwarded(("192.0.2.1", 5)), {}, {"client": ("192.0.2.1", 5)}),
        (Forwarded(None, "https"), {}, {"scheme": "https"}),
        (Forwarded(None, "https"), {"type": "websocket", "scheme": "ws"}, {"scheme": "wss"}),
        (Forwarded(None, "http"), {"type": "websocket", "scheme": "wss"}, {"scheme": "ws"}),
        (
            Forwarded(None, host="example.org"),
            {},
            {"server": ("example.org", 80), "headers": [(b"host", b"example.org"), (b"x", b"y")]},
        ),
        (
            Forwarded(None, host="example.org:81"),
            {},
            {"server": ("example.org", 81), "headers": [(b"host", b"example.org:81"), (b"x", b"y")]},
        ),
        (
            Forwarded(None, "https", "[::1]:81", 443),
            {},
            {"scheme": "https", "server": ("::1", 443), "headers": [(b"host", b"[::1]"), (b"x", b"y")]},
        ),
        (
            Forwarded(None, port=8443),
            {"type": "websocket", "scheme": "wss"},
            {"server": ("own.example", 8443), "headers": [(b"host", b"own.example:8443"), (b"x", b"y")]},
        ),
        (Forwarded(None, port=8443), {"headers": []}, {}),
        (Forwarded(None, prefix="/api"), {}, {"root_path": "/api", "path": "/api/a b", "raw_path": b"/api/a%20b"}),
        (
            Forwarded(None, prefix="/x%20y"),
            {"root_path": "/old", "path": "/old/a b", "raw_path": b"/old/a%20b"},
            {"root_path": "/x y", "path": "/x y/a b", "raw_path": b"/x%20y/a%20b"},
        ),
        (Forwarded(None, prefix="/api"), {"raw_path": None}, {"root_path": "/api", "path": "/api/a b"}),
    ],
)
def test_changes_to_the_scope(forwarded: Forwarded, before: dict[str, Any], changes: dict[str, Any]) -> None:
    changed = scope(**before)
    headers = list(changed["headers"])
    untouched = changed["headers"]
    forwarded.apply(changed)
    assert changed == {**scope(**before), **changes}
    assert untouched == headers, "the parser's list stays as it is"
