import cython

from threadserve.http.head cimport MessageFraming, RequestHead
from threadserve.http1.chunked cimport ChunkedDecoder
from threadserve.http1.scan cimport HeadScanner

cdef bytes BLANK_LINE, CRLF
cdef str HTTP_1_0, HTTP_1_1


@cython.final
cdef class RequestReader:
    cdef Py_ssize_t _checked
    cdef Py_ssize_t _chunk_line_limit
    cdef bytes _data
    cdef list _framing_fields
    cdef ChunkedDecoder _decoder
    cdef Py_ssize_t _field_limit
    cdef Py_ssize_t _head_limit
    cdef bint _is_http11
    cdef object _parser
    cdef Py_ssize_t _position
    cdef long long _remaining
    cdef MessageFraming _framing
    cdef HeadScanner _scanner
    cdef list _control_fields
    cdef Py_ssize_t _trailers_limit
    cdef public bint body_complete
    cdef public bint has_partial_head
    cdef public Py_ssize_t unread

    cpdef feed(self, bytes data)
    cpdef discard(self)
    cpdef bytes take_unread(self)
    @cython.locals(
        data=bytes, position=Py_ssize_t, scanned=tuple, end=Py_ssize_t, is_http11=bint, headers=list, control_fields=list,
        framing=MessageFraming
    )
    cpdef RequestHead read_head(self)
    @cython.locals(data=bytes, position=Py_ssize_t, after=Py_ssize_t, decoder=ChunkedDecoder, part=bytes)
    cpdef bytes read_body(self)
    @cython.locals(data=bytes, position=Py_ssize_t, begin=Py_ssize_t, unchecked=Py_ssize_t)
    cdef RequestHead _read_partial_head(self)
    @cython.locals(framing_fields=list, framing=MessageFraming)
    cdef MessageFraming _update_framing(self, list control_fields, bint is_http11)
    cdef _expect_body(self, MessageFraming framing)
