import cython

from threadserve.http.accounting cimport count_response, make_entry
from threadserve.http.context cimport LoopContext
from threadserve.http.head cimport RequestHead, ResponseHead
from threadserve.http.request_body cimport RequestBody
from threadserve.http.peer cimport Peer
from threadserve.http.stream cimport Stream
from threadserve.metrics.loop_metrics cimport LoopMetrics

cdef int BODY_EXPECTED, BODY_COMPLETE, DISCARDING, DISCONNECTED
cdef int NOT_STARTED, HEAD_HELD, HEAD_SENT, BODY, TRAILERS, COMPLETE, ABORTED
cdef int LENGTH_UNKNOWN
cdef str HTTP_1_0
cdef object perf_counter, sleep


@cython.final
cdef class Exchange:
    cdef public Stream stream
    cdef public LoopContext context
    cdef public RequestHead head
    cdef public dict scope
    cdef public object task
    cdef public object listener
    cdef public RequestBody body
    cdef public int request_state
    cdef public int response_state
    cdef public int status
    cdef public long long bytes_sent
    cdef public double started_at
    cdef public double first_byte_at
    cdef public bint is_cancelled
    cdef public bint is_end_discarded
    cdef public bint is_logged
    cdef public int disconnect_listeners
    cdef bint _is_body_delivered
    cdef object _wakeup
    cdef bint _has_no_content
    cdef bint _cancels_on_disconnect
    cdef long long _unsent_bytes
    cdef bint _sends_trailers
    cdef bint _is_head_late
    cdef public tuple environ
    cdef public bint wants_trailers

    cpdef bint can_still_answer(self) except -1
    cpdef bint is_over(self) except -1
    cpdef bint is_response_pending(self) except -1
    cpdef bint is_awaiting_body(self) except -1
    cpdef take_complete_body(self)
    cdef dict _take_body(self, RequestBody body)
    cdef _wake(self)
    cdef _cancel_if_client_gone(self)
    cpdef bint feed(self, bytes data, bint more) except -1
    cpdef discard_body(self)
    cpdef start(self, object status, object fields)
    cpdef start_formatted(self, ResponseHead head)
    cdef _hold_head(self, int status, long long length)
    cpdef bint has_length(self) except -1
    cpdef expect_trailers(self)
    cpdef send_part(self, bytes body, bint more)
    cdef _check_length(self, long long size, bint more)
    cdef _complete(self)
    cpdef send_trailers(self, object fields, bint more)
    cpdef bint send_late_head(self) except -1
    cpdef on_return(self)
    cpdef fail(self)
    @cython.locals(metrics=LoopMetrics)
    cpdef measure(self)
    cpdef time_out(self)
    @cython.locals(scope=dict, peer=Peer, status=int)
    cpdef log_access(self)
