import cython

from threadserve.http.head cimport ResponseHead
from threadserve.wsgi.environ cimport EnvironMaker
from threadserve.wsgi.parcel cimport Parcel
from threadserve.wsgi.response cimport KnownLines
from threadserve.wsgi.sink cimport ResponseSink

cdef long long LENGTH_UNKNOWN, FINISHED_LIMIT
cdef double inf


@cython.final
cdef class ThreadCache:
    cdef object app
    cdef EnvironMaker environs
    cdef KnownLines lines
    # An aligned machine word that its thread alone writes: the watching thread reads it.
    cdef public double since
    cdef int owed
    cdef object _debtor

    cdef owe(self, object debtor)
    cdef settle(self)


cdef class Call(Parcel):
    cdef object _body
    cdef ThreadCache _cache
    cdef object _channel
    cdef bint _closes
    cdef dict _environ
    cdef ResponseHead _head
    cdef bint _is_begun
    cdef bint _is_finished
    cdef bint _is_head
    cdef bint _is_too_long
    cdef long long _length
    cdef dict _scope
    cdef tuple _replaces
    cdef long long _sent
    cdef int _status
    cdef tuple _told
    cdef readonly ResponseSink sink

    cpdef deliver(self)
    cpdef refuse(self)
    cpdef drop_body(self)
    cpdef run(self, ThreadCache cache)
    cpdef _run(self, ThreadCache cache, object file)
    cdef _respond(self, object result)
    cdef _finish_or_stream(self, object body)
    cdef _take_head(self, ResponseHead head)
    cdef _declare(self, long long size)
    cdef ResponseHead _started(self)
    cdef tuple _values(self)
    cdef bint _is_bodyless(self) except -1
    cdef _finish(self, bytes body)
    cdef _pack(self, ResponseHead head, bytes body, tuple told)
    cdef _stream(self, bytes piece)
    cdef _stream_from(self, ResponseHead head, bytes piece)
    cdef bytes _fitting(self, bytes piece)
    cdef _report_excess(self)
    cdef _end(self)
    cdef _fail(self)
