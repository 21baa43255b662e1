import cython

from threadserve.http.exchange cimport Exchange
from threadserve.http.stream cimport Stream
from threadserve.http2.responses cimport FieldFormatter, ResponseFields


cdef double inf


cdef class StreamOwner:
    cdef public Py_ssize_t buffer_bytes
    cdef public object loop
    cdef public FieldFormatter formatter

    cpdef on_data_queued(self, H2Stream stream)
    cpdef flush_soon(self)
    cpdef acknowledge(self, H2Stream stream, Py_ssize_t size)
    cpdef reset(self, H2Stream stream, object code)
    cpdef on_side_ended(self, H2Stream stream)
    cpdef open_tunnel(self, H2Stream stream, object protocol)


@cython.final
cdef class H2Stream(Stream):
    cdef long long _expected_bytes
    cdef list _early_data
    cdef ResponseFields _head
    cdef bint _is_handshake
    cdef bint _is_head
    cdef StreamOwner _owner
    cdef object _queue
    cdef bint _reading_paused
    cdef bint _sends_body
    cdef bint _has_trailers
    cdef Py_ssize_t _unacknowledged
    cdef public bint awaits_window
    cdef public double body_deadline
    cdef public bint response_end_sent
    cdef public Exchange exchange
    cdef public bint response_has_ended
    cdef public bint is_progressing
    cdef public long long id
    cdef public bint exchange_is_complete
    cdef public bint is_closed
    cdef public object priority
    cdef public Py_ssize_t queued
    cdef public bint request_has_ended
    cdef public list sent_fields
    cdef public list trailers
    cdef public object tunnel

    cpdef check_length(self, Py_ssize_t size, bint ends)
    cpdef bint on_data(self, bytes data, Py_ssize_t size, bint ends) except -1
    cpdef Py_ssize_t take_unacknowledged(self) except -1
    cpdef take(self, Py_ssize_t size)
    cdef _take_from_first(self, Py_ssize_t size)
    cdef _resume_writing(self)
    cpdef on_end_sent(self)
    cpdef detach_tunnel(self)
    cpdef close(self)
