import cython

from threadserve.threads.opening cimport ConnectionOpener


@cython.final
cdef class LoopAcceptor:
    cdef public ConnectionOpener opener
    cdef object _accepted
    cdef object _exhaustion
    cdef object _handover
    cdef bint _is_closed
    cdef object _loop
    cdef list _queues
