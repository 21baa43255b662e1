import cython


@cython.final
cdef class Ticker:
    cdef object _bounds
    cdef object _deadlines
    cdef object _handle
    cdef object _loop
    cdef object _registry
    cdef double _cpu_seconds
    cdef double _ticked_at
    cdef public bint awaits_bodies
    cdef public list renewals
    # Aligned machine words that this thread alone writes: any other may read them.
    cdef public double share
    cdef public long long ticks
