import cython


@cython.final
cdef class Peer:
    cdef public object client
    cdef public bint is_trusted
    cdef public object label
    cdef public str scheme
    cdef public object server
    cdef public dict tls
