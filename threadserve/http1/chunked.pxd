import cython

cdef int EXPECT_SIZE, EXPECT_DATA, EXPECT_DATA_END, EXPECT_TRAILERS


@cython.final
cdef class ChunkedDecoder:
    cdef Py_ssize_t _checked
    cdef bint _keeps_framing
    cdef Py_ssize_t _line_limit
    cdef int _next
    cdef list _parts
    cdef long long _remaining
    cdef Py_ssize_t _trailers_limit
    cdef public bint complete
    cdef public Py_ssize_t position

    @cython.locals(end=Py_ssize_t, after=Py_ssize_t)
    cpdef bytes decode(self, bytes data, Py_ssize_t position)
    @cython.locals(size_end=Py_ssize_t, end=Py_ssize_t)
    cdef Py_ssize_t _read_size(self, bytes data, Py_ssize_t position) except -1
    @cython.locals(after=Py_ssize_t)
    cdef Py_ssize_t _read_data(self, bytes data, Py_ssize_t position) except -1
    cdef Py_ssize_t _read_data_end(self, bytes data, Py_ssize_t position) except -1
    @cython.locals(end=Py_ssize_t)
    cdef Py_ssize_t _read_trailers(self, bytes data, Py_ssize_t position) except -1
    cdef Py_ssize_t _check_trailers(self, bytes data, Py_ssize_t position) except -1
