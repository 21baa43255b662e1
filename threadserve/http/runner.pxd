import cython

from threadserve.http.asgi_send cimport ASGISend
from threadserve.http.exchange cimport Exchange
from threadserve.http.registry cimport ConnectionRegistry


@cython.final
cdef class ASGIRunner:
    cdef object _app
    cdef ConnectionRegistry _registry
    cdef object _start_task

    cpdef start(self, Exchange exchange)
    cpdef start_call(self, object call, object send)
