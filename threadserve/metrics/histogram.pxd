import cython

cdef object bisect_left


@cython.final
cdef class Histogram:
    cdef tuple _bounds
    cdef object _counts
    cdef double _total

    cpdef add(self, double value)
