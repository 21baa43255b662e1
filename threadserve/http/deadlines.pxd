import cython


@cython.final
cdef class Deadlines:
    cdef object _bounds
    cdef object _loop
    cdef double _looked_at
    cdef double _ping_interval
    cdef double _ping_timeout
    cdef double _idle_release_seconds
    cdef double _timeout_keep_alive
    cdef double _timeout_request_body
    cdef double _timeout_request_header
    cdef public bint is_draining
    cdef public double tick_seconds
    cdef public double now
    cdef public double idle
    cdef public double release
    cdef public double head
    cdef public double body
    cdef public double linger
    cdef public double close
    cdef public double write_stall
    cdef public double ping
    cdef public double pong

    cpdef drain(self)
    cpdef refresh(self)
    cpdef double for_idle_at_shutdown(self, double idle) except? -1
