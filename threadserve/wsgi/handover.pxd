import cython

from threadserve.wsgi.call cimport Call
from threadserve.wsgi.parking cimport Mutex
from threadserve.wsgi.pool cimport Pool


@cython.final
cdef class Handover:
    cdef list _calls
    cdef object _context
    cdef Mutex _handover_mutex
    cdef bint _is_posted
    cdef object _loop
    cdef bint _looks_back
    cdef Pool _pool
    cdef object _post
    cdef list _responses
    cdef long long _target

    cdef submit(self, Call call)
    @cython.locals(mutex=Mutex)
    cdef _look_back_later(self)
    @cython.locals(mutex=Mutex)
    cdef bint respond_threadsafe(self, object response) except -1
    @cython.locals(mutex=Mutex)
    cpdef wake_threadsafe(self)
    @cython.locals(mutex=Mutex, response=Call)
    cpdef _deliver(self)
