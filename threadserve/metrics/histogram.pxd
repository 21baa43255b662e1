import cython


@cython.final
cdef class Histogram:
    cdef double[::1] _bounds
    cdef unsigned long long[::1] _counts
    cdef Py_ssize_t _size
    cdef double _total

    @cython.locals(index=Py_ssize_t)
    cpdef add(self, double value)
