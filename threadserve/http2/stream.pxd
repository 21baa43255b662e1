import cython

from threadserve.http.exchange cimport Exchange
from threadserve.http.stream cimport Stream
from threadserve.http2.responses cimport FieldMaker, ResponseFields


cdef double inf


cdef class StreamOwner:
    cdef public Py_ssize_t buffer_bytes
    cdef public object loop
    cdef public FieldMaker maker

    cpdef on_queued(self, H2Stream stream)
    cpdef leave(self)
    cpdef credit(self, H2Stream stream, Py_ssize_t size)
    cpdef reset(self, H2Stream stream, object code)
    cpdef on_progress(self, H2Stream stream)
    cpdef open_tunnel(self, H2Stream stream, object protocol)


@cython.final
cdef class H2Stream(Stream):
    cdef long long _declared
    cdef list _early
    cdef ResponseFields _head
    cdef bint _is_handshake
    cdef bint _is_head
    cdef StreamOwner _owner
    cdef object _queue
    cdef bint _reading_paused
    cdef bint _sends_body
    cdef bint _trails
    cdef Py_ssize_t _uncredited
    cdef public bint awaits_window
    cdef public double body_due
    cdef public bint end_is_sent
    cdef public Exchange exchange
    cdef public bint has_ended
    cdef public bint has_moved
    cdef public long long id
    cdef public bint is_answered
    cdef public bint is_closed
    cdef public object priority
    cdef public Py_ssize_t queued
    cdef public bint request_has_ended
    cdef public list sent_fields
    cdef public list trailers
    cdef public object tunnel

    cpdef count(self, Py_ssize_t size, bint ends)
    cpdef bint on_data(self, bytes data, Py_ssize_t size, bint ends) except -1
    cpdef Py_ssize_t take_uncredited(self) except -1
    cpdef take(self, Py_ssize_t size)
    cdef _take_from_first(self, Py_ssize_t size)
    cdef _on_taken(self)
    cpdef on_end_sent(self)
    cpdef detach(self)
    cpdef close(self)
