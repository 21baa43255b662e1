import cython


@cython.final
cdef class Sent:
    cdef object _nothing
