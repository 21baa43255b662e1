import cython


@cython.final
cdef class ConnectionRegistry:
    cdef object _limit
    cdef public set connections
    cdef public set calls
    cdef public set opening
    # Aligned machine words that this thread alone writes: any other may read them.
    cdef public long long requests
    cdef public bint is_draining
    cdef public object drained

    cpdef bint admit(self) except -1
    cpdef withdraw(self)
    cpdef end_call(self, object call)
    cpdef check_drained(self)
