import cython

from threadserve.http.deadlines cimport Deadlines


@cython.final
cdef class Budget:
    cdef Deadlines _deadlines
    cdef long long _limit
    cdef double _seconds
    cdef double _since
    cdef long long _spent
    cdef str _name

    cpdef spend(self)
    cdef _start_period(self)
    cpdef earn(self, long long count)
