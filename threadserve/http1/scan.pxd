cdef class HeadScanner:
    cdef tuple _methods

    cpdef tuple scan(self, bytes data, Py_ssize_t position)
