import cython


@cython.final
cdef class CompletedSend:
    cdef object _nothing
