import cython

from threadserve.http.head cimport ResponseHead
from threadserve.wsgi.environ cimport EnvironBuilder
from threadserve.wsgi.response_buffer cimport ResponseBuffer
from threadserve.wsgi.response cimport HeadFormatter
from threadserve.wsgi.sink cimport ResponseSink

cdef long long LENGTH_UNKNOWN, MAX_WHOLE_BYTES
cdef double inf


@cython.final
cdef class ThreadCache:
    cdef object app
    cdef EnvironBuilder environs
    cdef HeadFormatter heads
    # An aligned machine word that its thread alone writes: the watching thread reads it.
    cdef public double counting_since
    cdef int pending_responses
    cdef object _wakeup_target

    cdef note_response(self, object target)
    cdef flush_wakeup(self)


cdef class Call(ResponseBuffer):
    cdef object _body
    cdef ThreadCache _cache
    cdef object _channel
    cdef bint _closes_connection
    cdef dict _environ
    cdef ResponseHead _head
    cdef bint _is_streaming
    cdef bint _is_finished
    cdef bint _is_head
    cdef bint _is_excess_logged
    cdef long long _length
    cdef dict _scope
    cdef tuple _replaced_defaults
    cdef long long _sent
    cdef int _status
    cdef tuple _environ_values
    cdef readonly ResponseSink sink

    cpdef deliver(self)
    cpdef refuse(self)
    cpdef close_body(self)
    cpdef run(self, ThreadCache cache)
    cpdef _call_app(self, ThreadCache cache, object file)
    cdef _respond(self, object result)
    cdef _send_whole_or_stream(self, object body)
    cdef _set_head(self, ResponseHead head)
    cdef _declare_length(self, long long size)
    cdef ResponseHead _require_head(self)
    cdef tuple _access_log_values(self)
    cdef bint _is_bodyless(self) except -1
    cdef _send_whole(self, bytes body)
    cdef _pack(self, ResponseHead head, bytes body, tuple environ_values)
    cdef _stream_piece(self, bytes piece)
    cdef _write_to_channel(self, ResponseHead head, bytes piece)
    cdef bytes _cut_to_length(self, bytes piece)
    cdef _log_excess(self)
    cdef _end_stream(self)
    cdef _fail(self)
