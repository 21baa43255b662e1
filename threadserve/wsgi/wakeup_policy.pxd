import cython

cdef double inf


@cython.final
cdef class WakeupPolicy:
    cdef double _average
    cdef double _latest_began
    cdef public bint has_short_calls
    cdef public bint is_wakeup_pending

    cpdef on_call_start(self, double now)
    cpdef on_call_end(self, double began, double now)
    cpdef on_delay(self)
    cpdef bint expects_return(self, double now) except -1
