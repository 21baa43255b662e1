"""Heads and bodies out of bytes, with no socket."""

import pytest
from support.reading import NewReader, read

STREAM = (
    b"\r\n\r\nGET /a?b HTTP/1.1\r\nHost: x \r\nX-A:\r\n\r\n"
    b"POST /c HTTP/1.1\r\nHost:\tx\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5 ; a=b\r\nhello\r\n3\r\nabc\r\n0\r\nT: 1\r\n\r\n"
    b"PUT /d HTTP/1.0\r\nCONTENT-LENGTH: 3\r\n\r\nabc"
)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_requests_are_read_however_they_arrive(new_reader: NewReader, step: int) -> None:
    reader = new_reader()
    reading = read(reader, [STREAM[at : at + step] for at in range(0, len(STREAM), step)])
    assert reading.error is None
    first, second, third = reading.messages
    assert (first.head.method, first.head.target, first.head.version) == ("GET", b"/a?b", "1.1")
    assert (first.head.headers, first.head.special) == ([(b"host", b"x"), (b"x-a", b"")], [(b"host", b"x")])
    assert (first.head.has_body, first.is_complete, first.body) == (False, True, b"")
    assert (second.head.method, second.head.chunked, second.head.has_body) == ("POST", True, True)
    assert (second.is_complete, second.body) == (True, b"helloabc")
    assert (third.head.version, third.head.content_length, third.head.keep_alive) == ("1.0", 3, False)
    assert (third.is_complete, third.body) == (True, b"abc")
    assert reader.unread == 0
