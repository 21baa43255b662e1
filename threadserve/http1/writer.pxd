import cython

from threadserve.http.head cimport RequestHead, ResponseHead
from threadserve.http1.header_lines cimport HeaderLines

cdef int NONE, LENGTH, CHUNKED, UNTIL_CLOSE
cdef int MAX_LENGTH_DIGITS, LENGTH_UNKNOWN
cdef str HTTP_1_1
cdef bytes CONNECTION_CLOSE, CONTENT_LENGTH, CRLF, CONNECTION_KEEP_ALIVE, LAST_CHUNK, HTTP_VERSION


@cython.final
cdef class ResponseWriter:
    cdef HeaderLines _lines
    cdef list _pieces
    cdef int _framing
    cdef long long _length
    cdef int _status
    cdef bint _sends_trailers
    cdef list _trailers
    cdef public RequestHead head
    cdef public bint keep_alive

    cpdef Py_ssize_t prepare(self, object status, object fields) except -2
    cpdef prepare_formatted(self, ResponseHead head)
    cdef _add_field(self, tuple field)
    cdef _declare_length(self, bytes value)
    cpdef announce_trailers(self)
    cpdef list start(self, bytes body, bint more)
    cdef _frame_in_chunks(self, list pieces)
    cdef bytes _connection_line(self)
    cpdef expect_file(self, long long size)
    cpdef list body(self, bytes data, bint more)
    cdef _add_body(self, list pieces, bytes data, bint more)
    cpdef bint holds_head(self) except -1
    cpdef bint sends_body(self) except -1
