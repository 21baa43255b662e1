import cython

from threadserve.http.head cimport RequestHead
from threadserve.http.peer cimport Peer
from threadserve.metrics.loop_metrics cimport LoopMetrics

cdef object perf_counter


cpdef tuple make_entry(dict scope, Peer peer, int status)
@cython.locals(now=double, seconds=double, first_byte=double)
cpdef count_response(
    LoopMetrics metrics,
    RequestHead head,
    dict scope,
    Peer peer,
    int status,
    double started_at,
    double first_byte_at,
)
