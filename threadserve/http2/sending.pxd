import cython

from threadserve.http.flow cimport FlowControl
from threadserve.http.write_buffer cimport WriteBuffer
from threadserve.http2.budgets cimport Budget
from threadserve.http2.stream cimport H2Stream

cdef Py_ssize_t EARNING_BYTES, FRAME_EARNS, FLUSH_BYTES, LARGE, PART


@cython.final
cdef class Sender:
    cdef Budget _control
    cdef FlowControl _flow
    cdef WriteBuffer _output
    cdef list _pieces
    cdef Py_ssize_t _queued
    cdef Py_ssize_t _unsent
    cdef Py_ssize_t _unearned
    cdef list _shared
    cdef object _state
    cdef bint _takes_whole
    cdef list _whole

    cpdef offer(self, H2Stream stream)
    cpdef add(self, H2Stream stream)
    cpdef bint discard(self, H2Stream stream) except -1
    cpdef change_priority(self, H2Stream stream, object priority)
    cdef object _queue_of(self, object priority)
    @cython.locals(stream=H2Stream, size=Py_ssize_t)
    cpdef send(self)
    @cython.locals(urgency=int)
    cdef H2Stream _next(self)
    @cython.locals(size=Py_ssize_t, ends=bint)
    cdef Py_ssize_t _send_part(self, H2Stream stream) except -2
    cdef Py_ssize_t _wait_for_window(self, H2Stream stream) except -2
    cdef Py_ssize_t _count(self, H2Stream stream, Py_ssize_t size) except -2
    cpdef widen(self, Py_ssize_t size)
    @cython.locals(size=Py_ssize_t, pieces=list, data=bytes)
    cpdef flush(self)
