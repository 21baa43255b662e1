import cython

from threadserve.http.head cimport ResponseHead
from threadserve.wsgi.call cimport Call
from threadserve.wsgi.pool cimport Pool
from threadserve.wsgi.sink cimport ResponseSink


@cython.final
cdef class Handover:
    cdef list _calls
    cdef object _context
    cdef object _handover_lock
    cdef bint _is_posted
    cdef object _loop
    cdef bint _looks_back
    cdef Pool _pool
    cdef object _post
    cdef list _responses
    cdef long long _target

    cdef submit(self, Call call)
    cdef _look_back_later(self)
    cdef bint respond_threadsafe(self, ResponseSink sink, ResponseHead head, bytes body, tuple environ) except -1
