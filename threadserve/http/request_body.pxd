import cython


@cython.final
cdef class RequestBody:
    cdef Py_ssize_t _limit
    cdef list _parts
    cdef public bint awaits_continue
    cdef public long long discarded_bytes
    cdef public long long received_bytes
    cdef public bint is_complete
    cdef public Py_ssize_t size

    cpdef bint has_room(self) except -1
    cpdef put(self, bytes data, bint more)
    cpdef bytes take(self)
