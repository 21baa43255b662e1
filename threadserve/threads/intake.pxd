import cython

from threadserve.threads.opening cimport Opener


@cython.final
cdef class Intake:
    cdef public Opener opener
    cdef object _accepted
    cdef object _exhaustion
    cdef object _handed
    cdef bint _is_closed
    cdef object _loop
    cdef list _queues
