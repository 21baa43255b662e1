cdef enum:
    INLINE = 512


cdef class Parcel:
    cdef char _inline[INLINE]
    cdef char *_data
    cdef Py_ssize_t _first_size
    cdef Py_ssize_t _second_size
    cdef object _large

    cpdef pack(self, bytes first, bytes second)
    cpdef bytes first(self)
    cpdef bytes second(self)
