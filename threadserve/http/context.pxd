import cython

from threadserve.http.deadlines cimport Deadlines
from threadserve.http.write_buffer cimport WriteBatcher
from threadserve.http.registry cimport ConnectionRegistry
from threadserve.http.idle_release cimport IdleReleaser
from threadserve.http.scope cimport ScopeBuilder
from threadserve.http.ticker cimport Ticker
from threadserve.metrics.loop_metrics cimport LoopMetrics


@cython.final
cdef class LoopContext:
    cdef public object access_log
    cdef public object begin_websocket
    cdef public object forwarded_fields
    cdef public long long body_limit
    cdef public object bounds
    cdef public object call_app
    cdef public bint cancel_on_disconnect
    cdef public object cross_thread
    cdef public Deadlines deadlines
    cdef public object loop
    cdef public LoopMetrics metrics
    cdef public WriteBatcher write_batcher
    cdef public bint pathsend
    cdef public object post_threadsafe
    cdef public ConnectionRegistry registry
    cdef public IdleReleaser releaser
    cdef public ScopeBuilder scopes
    cdef public object completed_send
    cdef public object start_task
    cdef public int thread
    cdef public Ticker ticker
    cdef public object trusted_proxies

    cpdef check_body_length(self, long long length)
