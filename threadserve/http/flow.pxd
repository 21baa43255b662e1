cdef class FlowControl:
    cdef public object transport
    cdef public bint write_paused
    cdef public bint reading_paused
    cdef double _unwritten_bytes
    cdef bint _is_released
    cdef object _drained

    cpdef on_writable(self)
    cpdef release_writers(self)
    cpdef watch_progress(self)
    cpdef bint has_progressed(self) except -1
    cpdef forget_progress(self)
    cpdef pause_reading(self)
    cpdef resume_reading(self)
