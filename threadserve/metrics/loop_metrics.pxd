import cython

from threadserve.metrics.histogram cimport Histogram


@cython.final
cdef class LoopMetrics:
    cdef readonly int thread
    cdef readonly double slow_seconds
    cdef unsigned long long[::1] _requests
    cdef Histogram _duration
    cdef bint _logs_slow
    cdef Histogram _first_byte
    cdef object _slow
    cdef readonly Histogram queue_time
    cdef readonly Histogram accept_to_app
    cdef public long long received
    cdef public long long sent
    cdef public long long accepted
    cdef public long long exhaustions
    cdef public long long websockets
    cdef public long long websockets_open
    cdef public long long tls_handshakes
    cdef public long long tls_failures
    cdef dict refusals

    cpdef on_response(self, int status, double seconds, double first_byte)
