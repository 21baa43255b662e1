import cython

from threadserve.http.deadlines cimport Deadlines


@cython.final
cdef class Budget:
    cdef Deadlines _deadlines
    cdef long long _limit
    cdef double _seconds
    cdef double _since
    cdef long long _spent
    cdef str _what

    cpdef spend(self)
    cdef _begin_again(self)
    cpdef earn(self, long long count)
