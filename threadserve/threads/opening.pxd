import cython

from threadserve.metrics.loop_metrics cimport LoopMetrics


@cython.final
cdef class PendingConnection:
    cdef readonly object _accepted
    cdef object _coroutine
    cdef readonly bint _is_over
    cdef object _make
    cdef object _registry
    cdef object _waiter

    cpdef start(self, object loop)
    cpdef finish(self, object _=*)


@cython.final
cdef class ConnectionOpener:
    cdef readonly LoopMetrics metrics
    cdef public object tls
    cdef list _started
    cdef bint _is_closed
    cdef object _loop
    cdef object _make_resumed
    cdef object _make_connection
    cdef object _registry
    cdef dict _server_addresses
    cdef object _timeout_proxy_header
    cdef object _timeout_ssl_handshake
    cdef object _trusted
    cdef set _not_started

    cpdef open_all(self, object accepted)
    cdef _open_now(self, object accepted)
    cdef object _find_addresses(self, object accepted)
