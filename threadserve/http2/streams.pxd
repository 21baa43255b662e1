import cython

from threadserve.http.context cimport LoopContext
from threadserve.http.exchange cimport Exchange
from threadserve.http.head cimport RequestHead
from threadserve.http.peer cimport Peer
from threadserve.http2.budgets cimport Budget
from threadserve.http2.sending cimport Sender
from threadserve.http2.stream cimport H2Stream, StreamOwner


@cython.final
cdef class Streams(StreamOwner):
    cdef LoopContext _context
    cdef object _http2
    cdef public dict open
    cdef Budget _control
    cdef Budget _resets
    cdef Sender _sender
    cdef object _state
    cdef list _unended
    cdef H2Stream _unstarted
    cdef public bint is_advancing
    cdef public bint limit_is_known
    cdef public object on_idle
    cdef public Peer peer
    cdef public bint takes_requests
    cdef public object transport

    cpdef on_request(self, object event)
    cdef bint _has_room(self) except -1
    @cython.locals(stream=H2Stream, exchange=Exchange, peer=Peer)
    cdef _begin(self, long long stream_id, RequestHead head, bint has_body)
    cdef _begin_websocket(self, H2Stream stream, Exchange exchange)
    @cython.locals(stream=H2Stream)
    cpdef start_unstarted(self)
    cdef _refuse_stream(self, long long stream_id, object code)
    cdef _answer(self, H2Stream stream, bint has_body, object error)
    @cython.locals(stream=H2Stream)
    cpdef on_data(self, object event)
    cdef _refuse_body(self, H2Stream stream, object error)
    cdef _send_refusal(self, H2Stream stream, object error)
    cdef _end_malformed(self, H2Stream stream, Py_ssize_t size, object error)
    @cython.locals(stream=H2Stream)
    cpdef on_trailers(self, object event)
    cpdef on_reset(self, object event)
    @cython.locals(stream=H2Stream)
    cpdef on_window(self, long long stream_id)
    cpdef on_windows(self)
    cpdef on_priority(self, long long stream_id, bytes value)
    cdef _end_answered(self, H2Stream stream)
    cdef _reset(self, H2Stream stream, object code)
    cdef _forget(self, H2Stream stream)
    cdef Exchange _drop(self, H2Stream stream)
    cdef Exchange _part(self, H2Stream stream)
    cpdef _tell(self, H2Stream stream, Exchange exchange)
    cpdef end_all(self)
    cpdef end_stalled(self)
    cpdef double refuse_late_bodies(self) except? -1
    cpdef put_off_bodies(self, double seconds)
    cpdef end_answered(self)


cdef priority_of(list headers)
