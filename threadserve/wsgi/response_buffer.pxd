cdef enum:
    INLINE_BYTES = 512


cdef class ResponseBuffer:
    cdef char _inline[INLINE_BYTES]
    cdef char *_data
    cdef Py_ssize_t _head_size
    cdef Py_ssize_t _body_size
    cdef object _large_body

    cpdef pack(self, bytes head, bytes body)
    cpdef bytes packed_head(self)
    cpdef bytes packed_body(self)
