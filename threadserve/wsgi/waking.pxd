import cython

cdef double inf


@cython.final
cdef class WakingPolicy:
    cdef double _average
    cdef double _latest_began
    cdef public bint is_quick
    cdef public bint is_waking

    cpdef on_began(self, double now)
    cpdef on_ended(self, double began, double now)
    cpdef on_held_up(self)
    cpdef bint is_taken_soon(self, double now) except -1
