import cython

from threadserve.http.deadlines cimport Deadlines
from threadserve.http.output cimport Outbox
from threadserve.http.registry cimport Registry
from threadserve.http.releasing cimport Releaser
from threadserve.http.scope cimport ScopeMaker
from threadserve.http.ticker cimport Ticker
from threadserve.metrics.loop_metrics cimport LoopMetrics


@cython.final
cdef class LoopContext:
    cdef public object access_log
    cdef public object begin_websocket
    cdef public object believed_fields
    cdef public long long body_limit
    cdef public object bounds
    cdef public object call_app
    cdef public bint cancel_on_disconnect
    cdef public object crossing
    cdef public Deadlines deadlines
    cdef public object loop
    cdef public LoopMetrics metrics
    cdef public Outbox outbox
    cdef public bint pathsend
    cdef public object post_threadsafe
    cdef public Registry registry
    cdef public Releaser releaser
    cdef public ScopeMaker scopes
    cdef public object sent
    cdef public object start_task
    cdef public int thread
    cdef public Ticker ticker
    cdef public object trusted_proxies

    cpdef check_body_length(self, long long length)
