import cython


@cython.final
cdef class MessageFraming:
    cdef public bint chunked
    cdef public long long content_length
    cdef public bint expects_continue
    cdef public bint has_body
    cdef public bint keep_alive
    cdef public bint wants_websocket


@cython.final
cdef class RequestHead:
    cdef public str method
    cdef public bytes target
    cdef public list headers
    cdef public list control_fields
    cdef public str version
    cdef public MessageFraming framing


@cython.final
cdef class ResponseHead:
    cdef public int status
    cdef public bytes text
    cdef public long long length
    cdef public bint closes_connection
    cdef public tuple replaced_fields
