import cython

from threadserve.http.context cimport LoopContext
from threadserve.http.flow cimport FlowControl
from threadserve.metrics.loop_metrics cimport LoopMetrics
from threadserve.websocket.message_reader cimport MessageReader

cdef int OPEN, CLOSING, ENDED
cdef double inf


@cython.final
cdef class WebSocketConnection:
    cdef LoopContext _context
    cdef LoopMetrics _byte_metrics
    cdef int _state
    cdef bytes _ping
    cdef object _pending_pong
    cdef Py_ssize_t _queue_limit
    cdef MessageReader _reader
    cdef object _session
    cdef public double deadline
    cdef public object deflate
    cdef public FlowControl flow
    cdef public bint is_paused
    cdef public double release_at
    cdef public object transport
    cdef public object write

    cpdef data_received(self, object data)
    cdef _feed(self, object data)
    cdef _read_events(self)
    cpdef on_message_taken(self, Py_ssize_t waiting)
    cdef _resume_reading(self)
