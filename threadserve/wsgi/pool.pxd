import cython

from threadserve.wsgi.call cimport Call, ThreadCache
from threadserve.wsgi.locks cimport Mutex, Semaphore
from threadserve.wsgi.wakeup_policy cimport WakeupPolicy

cdef int MAX_PENDING_RESPONSES


@cython.final
cdef class PoolThread:
    cdef public Call call
    cdef public double began
    cdef public ThreadCache cache
    cdef public bint has_ended
    cdef public bint is_timed_out
    cdef public Semaphore semaphore
    cdef public double stuck_since
    cdef public object thread


@cython.final
cdef class Pool:
    cdef object _calls
    cdef Py_ssize_t _size
    cdef object _stop_event
    cdef bint _is_started
    cdef bint _is_stopped
    cdef bint _has_unchecked_calls
    cdef list _ending
    cdef object _make_cache
    cdef Py_ssize_t _max_threads
    cdef double _next_report_at
    cdef Mutex _pool_mutex
    cdef Py_ssize_t _queue_limit
    cdef long long _unreported_refusals
    cdef long long _refusals
    cdef list _timed_out
    cdef list _idle
    cdef long long _started
    cdef list _threads
    cdef object _timeout
    cdef long long _timeouts
    cdef WakeupPolicy _wakeup_policy
    cdef object _watchdog
    cdef public bint is_exhausted
    cdef readonly long long submitted

    cdef bint has_short_calls(self) except -1
    cdef bint has_only_idle_threads(self) except -1
    cdef Py_ssize_t _free_slots(self) except -1
    cdef PoolThread _thread_to_wake(self)
    @cython.locals(cache=ThreadCache, call=Call)
    cpdef _run_calls(self, PoolThread pool_thread)
    @cython.locals(call=Call, ended_call=Call, woken=PoolThread)
    cdef Call _next_call(self, PoolThread pool_thread)
    @cython.locals(woken=PoolThread)
    cpdef list submit_threadsafe(self, list calls, bint will_recheck=*)
    @cython.locals(woken=PoolThread)
    cpdef bint recheck_threadsafe(self, long long target) except -1
