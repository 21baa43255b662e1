import cython

from threadserve.http.context cimport LoopContext
from threadserve.http.flow cimport FlowControl
from threadserve.websocket.frames cimport FrameReader

cdef int OPEN, CLOSING, ENDED
cdef double inf


@cython.final
cdef class WebSocketConnection:
    cdef LoopContext _context
    cdef bint _counts_bytes
    cdef int _phase
    cdef bytes _ping
    cdef object _pong_due
    cdef Py_ssize_t _queue_limit
    cdef FrameReader _reader
    cdef object _session
    cdef public double deadline
    cdef public object deflate
    cdef public FlowControl flow
    cdef public bint is_stalled
    cdef public double release_at
    cdef public object transport
    cdef public object write

    cpdef data_received(self, object data)
    cdef _feed(self, object data)
    cdef _take_up(self)
    cpdef on_received(self, Py_ssize_t waiting)
    cdef _go_on(self)
