import cython


@cython.final
cdef class AcceptQueue:
    cdef public object listener
    cdef object _accept
    cdef int _batch
    cdef tuple _kind
    cdef object _sockname

    cpdef list take_batch(self)
