import cython


@cython.final
cdef class MessageRules:
    cdef public bint chunked
    cdef public long long content_length
    cdef public bint expects_continue
    cdef public bint has_body
    cdef public bint keep_alive
    cdef public bint wants_websocket
