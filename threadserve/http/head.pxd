import cython


@cython.final
cdef class RequestHead:
    cdef public str method
    cdef public bytes target
    cdef public list headers
    cdef public list special
    cdef public str version
    cdef public long long content_length
    cdef public bint chunked
    cdef public bint keep_alive
    cdef public bint expects_continue
    cdef public bint wants_websocket
    cdef public bint has_body
