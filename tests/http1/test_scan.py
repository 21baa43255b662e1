"""The scan of a head: what it takes, and that its two forms are the same byte for byte."""

import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.python_forms import python_form_of
from support.refusals import HEADS
from support.streams import DAMAGE, TOKEN, good_requests, streams

from threadserve.http.errors import HTTPError
from threadserve.http.grammar import METHODS
from threadserve.http1 import scan
from threadserve.http1.framing import CONTROL_FIELDS
from threadserve.http1.grammar import check_partial_head
from threadserve.http1.scan import HeadScanner

HEAD = b"GET /a?b HTTP/1.1\r\nHost: x\r\nX-A:\t b c \t\r\nEMPTY:\r\nForwarded: for=y\r\n\r\n"
FIELDS = [(b"host", b"x"), (b"x-a", b"b c"), (b"empty", b""), (b"forwarded", b"for=y")]

# Bytes that mean something in a head, and neighbours of those that a name, a value or a target may have.
some_bytes = st.sampled_from([*DAMAGE, b"h", b"H", b"HTTP/1.", b"*", b"{", b"@", b"[", b"`", b"\x1f", b"!", b'"', b"$"])
methods = st.sampled_from([*METHODS, b"get", b"GETS", b"GE", b"OPTION", b"OPTIONSX", b""])
targets = st.sampled_from(
    [b"*", b"http://", b"http://x", b"HtTpS://x/a?b", b"https:/x", b"htt://x", b"http://x://", b"h", b"", b"//"]
)
target_text = st.binary(max_size=12).map(lambda text: b"/" + text)
versions = st.sampled_from(
    [b" HTTP/1.1\r\n", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" HTTP/1.2\r\n", b" HTTP/1.1\n", b""]
)
names = st.text(TOKEN, max_size=12).map(str.encode) | st.sampled_from([name.title() for name in CONTROL_FIELDS])
values = st.binary(max_size=20) | st.text(" \tab\xe9\r", max_size=8).map(lambda text: text.encode("latin-1"))
lines = st.builds(lambda name, value: name + b":" + value + b"\r\n", names, values)
heads = st.builds(
    lambda method, target, version, fields: method + b" " + target + version + b"".join(fields) + b"\r\n",
    methods,
    targets | target_text,
    versions,
    st.lists(lines, max_size=4),
)


@st.composite
def changed_heads(draw: st.DrawFn) -> bytes:
    """A good request's bytes, of which a few are others."""
    data = draw(good_requests()).data
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(some_bytes | st.binary(max_size=2)) + data[at + draw(st.integers(0, 2)) :]
    return data[: draw(st.integers(0, 2 * len(data)))]


@pytest.fixture(scope="module")
def python_form() -> Any:
    """The Python form of the module of which the compiled form serves."""
    return python_form_of(scan)


def test_a_head_is_taken_apart() -> None:
    scanned = HeadScanner(1).scan(HEAD, 0)
    assert scanned == (len(HEAD), "GET", b"/a?b", True, FIELDS, [FIELDS[0], FIELDS[3]])
    assert scanned[3] is True
    assert scanned[0] == HeadScanner(2).scan(HEAD + HEAD, 0)[0]  # type: ignore[index]


def test_a_head_in_the_middle_is_found_at_its_place() -> None:
    scanned = HeadScanner(1).scan(b"abc" + HEAD + HEAD, 3)
    assert scanned is not None
    assert (scanned[0], scanned[4]) == (3 + len(HEAD), FIELDS)


def test_a_head_of_http10_may_have_no_fields() -> None:
    assert HeadScanner(1).scan(b"GET / HTTP/1.0\r\n\r\n", 0) == (18, "GET", b"/", False, [], [])


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_known_and_each_is_one_object(method: bytes) -> None:
    data = method + b" / HTTP/1.1\r\nHost: x\r\n\r\n"
    first, second = HeadScanner(1).scan(data, 0), HeadScanner(2).scan(data, 0)
    assert first is not None
    assert second is not None
    assert first[1] == method.decode()
    assert first[1] is second[1] is sys.intern(method.decode())


@pytest.mark.parametrize(
    ("target", "method"),
    [
        (b"/", b"GET"), (b"//", b"GET"), (b"/!$%&'()*+,-.09:;<=>?@AZ[\\]^_`az{|}~\"", b"GET"), (b"http://x", b"GET"),
        (b"HTTPS://x/a", b"PUT"), (b"*", b"OPTIONS"), (b"/", b"OPTIONS"), (b"http://x", b"OPTIONS"),
    ],
)  # fmt: skip
def test_targets_are_taken_as_they_were_sent(target: bytes, method: bytes) -> None:
    scanned = HeadScanner(1).scan(method + b" " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n", 0)
    assert scanned is not None
    assert scanned[2] == target


@pytest.mark.parametrize("name", sorted(CONTROL_FIELDS))
def test_special_fields_are_known_in_any_case(name: bytes) -> None:
    for written in (name, name.upper(), name.title()):
        for prefix, suffix in ((b"", b""), (b"x", b""), (b"", b"s")):
            scanned = HeadScanner(1).scan(b"GET / HTTP/1.1\r\n%b%b%b: v\r\n\r\n" % (prefix, written, suffix), 0)
            assert scanned is not None
            assert scanned[4] == [(prefix + name + suffix, b"v")]
            assert scanned[5] == ([] if prefix or suffix else [(name, b"v")])


def test_every_byte_is_taken_where_it_may_be_and_nowhere_else() -> None:
    scanner = HeadScanner(1)
    token = TOKEN.encode()
    for number in range(256):
        byte = bytes((number,))
        in_name = scanner.scan(b"GET / HTTP/1.1\r\nX%bX: v\r\n\r\n" % byte, 0)
        assert (in_name is not None) == (byte in token + b":"), byte
        in_value = scanner.scan(b"GET / HTTP/1.1\r\nX: v%bv\r\n\r\n" % byte, 0)
        assert (in_value is not None) == (byte == b"\t" or (number >= 32 and number != 127)), byte
        in_target = scanner.scan(b"GET /a%ba HTTP/1.1\r\nX: v\r\n\r\n" % byte, 0)
        assert (in_target is not None) == (33 <= number <= 126 and byte != b"#"), byte


def test_part_of_a_head_is_none() -> None:
    scanner = HeadScanner(1)
    for end in range(len(HEAD)):
        assert scanner.scan(HEAD[:end], 0) is None
        assert scanner.scan(b"x" + HEAD[:end], 1) is None
    assert scanner.scan(HEAD, len(HEAD)) is None


@settings(max_examples=500)
@given(data=heads | changed_heads())
def test_what_is_not_taken_can_be_explained_and_what_is_never_was(data: bytes) -> None:
    data = data[: data.find(b"\r\n\r\n") + 4]
    scanned = HeadScanner(1).scan(data, 0)
    if scanned is None and data.endswith(b"\r\n\r\n") and not data.startswith(b"\r\n"):
        with pytest.raises(HTTPError):
            check_partial_head(data, 0, 0, len(data))
    elif scanned is not None:
        unchecked = 0
        for end in range(scanned[0]):
            unchecked = check_partial_head(data[:end], 0, unchecked, len(data))


def both(python_form: Any, data: bytes, position: int = 0) -> tuple[Any, ...] | None:
    """What both forms make of these bytes. Types and order are to be the same too."""
    compiled = HeadScanner(1).scan(data, position)
    assert repr(compiled) == repr(python_form.HeadScanner(1).scan(data, position))
    return compiled


def test_both_forms_agree_on_what_is_refused(python_form: Any) -> None:
    for refusal in HEADS:
        both(python_form, refusal.data)


@settings(max_examples=500)
@given(data=heads | changed_heads() | streams | st.binary(max_size=40), before=st.binary(max_size=3))
def test_both_forms_agree(python_form: Any, data: bytes, before: bytes) -> None:
    scanned = both(python_form, before + data, len(before))
    if scanned is not None:
        both(python_form, data, scanned[0] - len(before))
