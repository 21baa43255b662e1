import cython

from threadserve.http.asgi_send cimport ASGISend
from threadserve.http.context cimport LoopContext
from threadserve.http.exchange cimport Exchange
from threadserve.http.head cimport ResponseHead
from threadserve.wsgi.dispatcher cimport CallDispatcher
from threadserve.wsgi.sink cimport ResponseSink

cdef int ABORTED, NOT_STARTED


@cython.final
cdef class WSGIRunner:
    cdef LoopContext _context
    cdef object _environ_names
    cdef CallDispatcher _dispatcher

    cpdef start(self, Exchange exchange)


@cython.final
cdef class ExchangeSink(ResponseSink):
    cdef object _channel
    cdef LoopContext _context
    cdef Exchange _exchange
    cdef CallDispatcher _dispatcher
    cdef bint _has_ended
    cdef ASGISend _asgi_send

    cdef receive_body(self)
    cdef _submit(self, object body)
    cdef _on_error(self, object error)
    cdef _end(self)
