import cython

from threadserve.http.context cimport LoopContext
from threadserve.http.exchange cimport Exchange
from threadserve.http.head cimport RequestHead
from threadserve.http.peer cimport Peer
from threadserve.http2.budgets cimport Budget
from threadserve.http2.scheduler cimport SendScheduler
from threadserve.http2.stream cimport H2Stream, StreamOwner


@cython.final
cdef class StreamManager(StreamOwner):
    cdef LoopContext _context
    cdef object _http2
    cdef public dict open
    cdef Budget _control_budget
    cdef Budget _reset_budget
    cdef SendScheduler _scheduler
    cdef object _state
    cdef list _running_calls
    cdef H2Stream _pending_start
    cdef public bint is_reading
    cdef public bint client_knows_limit
    cdef public object on_idle
    cdef public Peer peer
    cdef public bint accepts_streams
    cdef public object transport

    cpdef on_request(self, object event)
    cdef bint _can_open_stream(self) except -1
    @cython.locals(stream=H2Stream, exchange=Exchange, peer=Peer)
    cdef _start_exchange(self, long long stream_id, RequestHead head, bint has_body)
    cdef _start_websocket(self, H2Stream stream, Exchange exchange)
    @cython.locals(stream=H2Stream)
    cpdef start_pending(self)
    cdef _refuse_stream(self, long long stream_id, object code)
    cdef _answer_refused(self, H2Stream stream, bint has_body, object error)
    @cython.locals(stream=H2Stream)
    cpdef on_data(self, object event)
    cdef _refuse_body(self, H2Stream stream, object error)
    cdef _send_refusal(self, H2Stream stream, object error)
    cdef _reset_malformed(self, H2Stream stream, Py_ssize_t size, object error)
    @cython.locals(stream=H2Stream)
    cpdef on_trailers(self, object event)
    cpdef on_reset(self, object event)
    @cython.locals(stream=H2Stream)
    cpdef on_window(self, long long stream_id)
    cpdef on_windows(self)
    cpdef on_priority(self, long long stream_id, bytes value)
    cdef _end_unneeded_body(self, H2Stream stream)
    cdef _reset(self, H2Stream stream, object code)
    cdef _remove(self, H2Stream stream)
    cdef Exchange _remove_unfinished(self, H2Stream stream)
    cdef Exchange _detach_exchange(self, H2Stream stream)
    cpdef _notify_gone(self, H2Stream stream, Exchange exchange)
    cpdef disconnect_all(self)
    cpdef reset_stalled(self)
    cpdef double refuse_late_bodies(self) except? -1
    cpdef extend_body_deadlines(self, double seconds)
    cpdef end_unneeded_bodies(self)


cdef request_priority(list headers)
