import cython

from threadserve.wsgi.call cimport Call
from threadserve.wsgi.locks cimport Mutex
from threadserve.wsgi.pool cimport Pool


@cython.final
cdef class CallDispatcher:
    cdef list _calls
    cdef object _context
    cdef Mutex _dispatcher_mutex
    cdef bint _is_posted
    cdef object _loop
    cdef bint _has_recheck_planned
    cdef Pool _pool
    cdef object _post
    cdef list _completed
    cdef long long _recheck_target

    cdef submit(self, Call call)
    @cython.locals(mutex=Mutex)
    cdef _plan_recheck(self)
    @cython.locals(mutex=Mutex)
    cdef bint complete_threadsafe(self, object response) except -1
    @cython.locals(mutex=Mutex)
    cpdef wake_threadsafe(self)
    @cython.locals(mutex=Mutex, response=Call)
    cpdef _deliver_completed(self)
