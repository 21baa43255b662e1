import cython

from threadserve.http.flow cimport FlowControl
from threadserve.http.output cimport Output
from threadserve.http2.budgets cimport Budget
from threadserve.http2.stream cimport H2Stream

cdef Py_ssize_t EARNING_BYTES, FLUSH_BYTES, PART


@cython.final
cdef class Sender:
    cdef Budget _control
    cdef FlowControl _flow
    cdef Output _output
    cdef list _shared
    cdef object _state
    cdef bint _takes_whole
    cdef list _whole

    cpdef add(self, H2Stream stream)
    cpdef discard(self, H2Stream stream)
    cpdef change_priority(self, H2Stream stream, object priority)
    cdef object _queue_of(self, object priority)
    @cython.locals(unsent=Py_ssize_t, stream=H2Stream)
    cpdef send(self)
    cdef H2Stream _next(self)
    @cython.locals(size=Py_ssize_t, ends=bint)
    cdef Py_ssize_t _send_part(self, H2Stream stream) except -1
    cdef _wait_for_window(self, H2Stream stream)
    cpdef flush(self)
