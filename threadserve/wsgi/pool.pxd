import cython

from threadserve.wsgi.call cimport Call, ThreadCache
from threadserve.wsgi.parking cimport Mutex, Parking
from threadserve.wsgi.waking cimport WakingPolicy

cdef int GATHERED


@cython.final
cdef class PoolThread:
    cdef public Call call
    cdef public double began
    cdef public ThreadCache cache
    cdef public bint has_ended
    cdef public bint is_set_aside
    cdef public Parking parking
    cdef public double stuck_since
    cdef public object thread


@cython.final
cdef class Pool:
    cdef object _calls
    cdef Py_ssize_t _count
    cdef object _has_stopped
    cdef bint _is_started
    cdef bint _is_stopped
    cdef bint _is_unwatched
    cdef list _leaving
    cdef object _make_cache
    cdef Py_ssize_t _most
    cdef double _next_report
    cdef Mutex _pool_mutex
    cdef Py_ssize_t _queue_limit
    cdef long long _refused
    cdef long long _refused_so_far
    cdef list _set_aside
    cdef list _sleeping
    cdef long long _taken
    cdef list _threads
    cdef object _timeout
    cdef long long _timeouts
    cdef WakingPolicy _waking
    cdef object _watcher
    cdef public bint is_worn_out
    cdef readonly long long submitted

    cdef bint is_quick(self) except -1
    cdef bint is_idle(self) except -1
    cdef Py_ssize_t _room(self) except -1
    cdef PoolThread _next_sleeper(self)
    @cython.locals(cache=ThreadCache, call=Call)
    cpdef _serve(self, PoolThread one)
    @cython.locals(call=Call, done=Call, sleeper=PoolThread)
    cdef Call _take(self, PoolThread one)
    @cython.locals(sleeper=PoolThread)
    cpdef list submit_threadsafe(self, list calls, bint looks_back=*)
    @cython.locals(sleeper=PoolThread)
    cpdef bint look_threadsafe(self, long long target) except -1
