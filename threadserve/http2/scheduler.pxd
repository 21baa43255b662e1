import cython

from threadserve.http.flow cimport FlowControl
from threadserve.http.write_buffer cimport WriteBuffer
from threadserve.http2.budgets cimport Budget
from threadserve.http2.stream cimport H2Stream

cdef Py_ssize_t BYTES_PER_WINDOW_UPDATE, WINDOW_UPDATES_PER_FRAME, FLUSH_BYTES, MIN_DIRECT_BYTES, MAX_DATA_BYTES


@cython.final
cdef class SendScheduler:
    cdef Budget _control_budget
    cdef FlowControl _flow
    cdef WriteBuffer _output
    cdef list _pieces
    cdef Py_ssize_t _queued
    cdef Py_ssize_t _unflushed_bytes
    cdef Py_ssize_t _uncounted_bytes
    cdef list _incremental
    cdef object _state
    cdef bint _last_was_sequential
    cdef list _sequential

    cpdef send_or_enqueue(self, H2Stream stream)
    cpdef enqueue(self, H2Stream stream)
    cpdef bint dequeue(self, H2Stream stream) except -1
    cpdef change_priority(self, H2Stream stream, object priority)
    cdef object _queue_for(self, object priority)
    @cython.locals(stream=H2Stream, size=Py_ssize_t)
    cpdef send(self)
    @cython.locals(urgency=int)
    cdef H2Stream _next_stream(self)
    @cython.locals(size=Py_ssize_t, ends=bint)
    cdef Py_ssize_t _send_frame(self, H2Stream stream) except -2
    cdef Py_ssize_t _stop_for_window(self, H2Stream stream) except -2
    cdef Py_ssize_t _count(self, H2Stream stream, Py_ssize_t size) except -2
    cpdef restore_window(self, Py_ssize_t size)
    @cython.locals(size=Py_ssize_t, pieces=list, data=bytes)
    cpdef flush(self)
