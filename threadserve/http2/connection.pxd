import cython

from threadserve.http.context cimport LoopContext
from threadserve.http.flow cimport FlowControl
from threadserve.http.write_buffer cimport WriteBuffer
from threadserve.http.peer cimport Peer
from threadserve.http2.frames cimport FrameReader
from threadserve.http2.scheduler cimport SendScheduler
from threadserve.http2.stream_manager cimport StreamManager

cdef int OPEN, DRAINING, FINISHING, LINGERING, CLOSED
cdef double inf


@cython.final
cdef class H2Connection:
    cdef object _proxied_addresses
    cdef double _head_deadline
    cdef double _bodies_deadline
    cdef LoopContext _context
    cdef double _phase_deadline
    cdef bint _has_received
    cdef double _paused_since
    cdef bint _has_streams
    cdef bint _is_paused
    cdef WriteBuffer _output
    cdef bytes _ping
    cdef FrameReader _reader
    cdef SendScheduler _scheduler
    cdef object _state
    cdef StreamManager _streams
    cdef object _tls
    cdef object _transport
    cdef public int phase
    cdef public double deadline
    cdef public FlowControl flow
    cdef public Peer peer
    cdef public double release_at

    cpdef data_received(self, bytes data)
    cdef _advance(self)
    cdef list _parse_frames(self, bytes frames)
    cdef _continue(self)
    cpdef _resume(self)
    cdef _handle_events(self, list events)
    cdef bint _is_ending(self) except -1
    cdef _linger(self)
    cdef _set_deadline(self, double deadline)
