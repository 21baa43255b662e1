import cython

from threadserve.http.head cimport MessageRules, RequestHead
from threadserve.http1.chunked cimport ChunkedDecoder
from threadserve.http1.scan cimport Scanner

cdef bytes BLANK_LINE, CRLF
cdef str HTTP_1_0, HTTP_1_1


@cython.final
cdef class Reader:
    cdef Py_ssize_t _checked
    cdef Py_ssize_t _chunk_line_limit
    cdef bytes _data
    cdef list _decisive
    cdef ChunkedDecoder _decoder
    cdef Py_ssize_t _field_limit
    cdef Py_ssize_t _head_limit
    cdef bint _is_http11
    cdef object _parser
    cdef Py_ssize_t _position
    cdef long long _remaining
    cdef MessageRules _rules
    cdef Scanner _scanner
    cdef list _special
    cdef Py_ssize_t _trailers_limit
    cdef public bint body_complete
    cdef public bint head_begun
    cdef public Py_ssize_t unread

    cpdef feed(self, bytes data)
    cpdef discard(self)
    cpdef bytes take_rest(self)
    @cython.locals(
        data=bytes, position=Py_ssize_t, scanned=tuple, end=Py_ssize_t, is_http11=bint, headers=list, special=list,
        rules=MessageRules
    )
    cpdef RequestHead read_head(self)
    @cython.locals(data=bytes, position=Py_ssize_t, after=Py_ssize_t, decoder=ChunkedDecoder, part=bytes)
    cpdef bytes read_body(self)
    @cython.locals(data=bytes, position=Py_ssize_t, begin=Py_ssize_t, unchecked=Py_ssize_t)
    cdef RequestHead _read_partial_head(self)
    @cython.locals(decisive=list, rules=MessageRules)
    cdef MessageRules _learn_rules(self, list special, bint is_http11)
    cdef _expect_body(self, MessageRules rules)
