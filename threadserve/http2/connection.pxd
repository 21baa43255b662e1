import cython

from threadserve.http.context cimport LoopContext
from threadserve.http.flow cimport FlowControl
from threadserve.http.write_buffer cimport WriteBuffer
from threadserve.http.peer cimport Peer
from threadserve.http2.frames cimport FrameReader
from threadserve.http2.sending cimport Sender
from threadserve.http2.streams cimport Streams

cdef int OPEN, DRAINING, FINISHING, LINGERING, CLOSED
cdef double inf


@cython.final
cdef class H2Connection:
    cdef object _announced
    cdef double _block_due
    cdef double _bodies_due
    cdef LoopContext _context
    cdef double _due
    cdef bint _has_heard
    cdef double _held_since
    cdef bint _is_busy
    cdef bint _is_held
    cdef WriteBuffer _output
    cdef bytes _ping
    cdef FrameReader _reader
    cdef Sender _sender
    cdef object _state
    cdef Streams _streams
    cdef object _tls
    cdef object _transport
    cdef public int closing
    cdef public double deadline
    cdef public FlowControl flow
    cdef public Peer peer
    cdef public double release_at

    cpdef data_received(self, bytes data)
    cdef _advance(self)
    cdef list _receive(self, bytes frames)
    cdef _go_on(self)
    cpdef _read_on(self)
    cdef _take_up(self, list events)
    cdef bint _is_ending(self) except -1
    cdef _linger(self)
    cdef _set_due(self, double due)
