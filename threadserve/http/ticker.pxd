import cython


@cython.final
cdef class Ticker:
    cdef object _bounds
    cdef object _deadlines
    cdef object _handle
    cdef object _loop
    cdef object _registry
    cdef public bint is_checking_heads
    cdef public list tick_callbacks
    # An aligned machine word that this thread alone writes: any other may read it.
    cdef public long long ticks
