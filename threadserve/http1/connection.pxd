import cython

from threadserve.http.context cimport LoopContext
from threadserve.http.exchange cimport Exchange
from threadserve.http.head cimport RequestHead
from threadserve.http.write_buffer cimport WriteBuffer
from threadserve.http.stream cimport Stream
from threadserve.http1.reader cimport RequestReader
from threadserve.http1.writer cimport ResponseWriter

cdef int READ_HEAD, READ_BODY, AWAIT_RESPONSE
cdef int OPEN, FLUSHING, LINGERING, CLOSED, UPGRADED, RELEASED
cdef int BODY_EXPECTED, DISCARDING
cdef int SLASH
cdef double inf


@cython.final
cdef class H1Connection(Stream):
    cdef object _proxied_addresses
    cdef bint _at_eof
    cdef bint _is_head_timed
    cdef LoopContext _context
    cdef Exchange _exchange
    cdef object _forwarded
    cdef object _codecs
    cdef bint _is_advancing
    cdef bint _is_handshake
    cdef bint _keeps_sent_head
    cdef WriteBuffer _buffer
    cdef RequestReader _reader
    cdef list _sent_head
    cdef object _control_fields
    cdef object _tls
    cdef object _transport
    cdef ResponseWriter _writer
    cdef public int closing
    cdef public double deadline
    cdef public double busy_until
    cdef public bint has_sent_request
    cdef public int reading
    cdef public double release_at

    @cython.locals(reader=RequestReader)
    cpdef data_received(self, object data)
    cdef _advance(self, RequestReader reader)
    cdef _limit_read_ahead(self, RequestReader reader)
    cdef bint _can_read(self) except -1
    cdef bint _read_head(self, RequestReader reader) except -1
    cdef _start_exchange(self, RequestHead head, RequestReader reader)
    cdef bint _read_body(self, RequestReader reader) except -1
    cdef _update_body_deadline(self)
    cdef _start_idling(self)
    cdef _continue_reading(self)
    cdef bint _awaits_continue(self) except -1
    cdef _finish(self)
