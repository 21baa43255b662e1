import cython

from threadserve.http.deadlines cimport Deadlines
from threadserve.http.peer cimport Peer
from threadserve.http.registry cimport ConnectionRegistry


@cython.final
cdef class IdleReleaser:
    cdef Deadlines _deadlines
    cdef list _completed
    cdef object _completed_at
    cdef object _give_back_threadsafe
    cdef bint _is_closed
    cdef set _released
    cdef object _loop
    cdef list _new_connections
    cdef ConnectionRegistry _registry
    cdef bint _releases_busy
    cdef public Py_ssize_t credit
    cdef public object serve_again

    cpdef grant(self, Py_ssize_t credit, bint releases_busy)
    cpdef close(self)
    cdef on_response_complete(self, object connection, double busy_until)
    cpdef bint release(self, object transport, Peer peer, double deadline, bint speaks_http1) except -1
