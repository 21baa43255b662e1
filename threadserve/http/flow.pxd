cdef class FlowControl:
    cdef public object transport
    cdef public bint write_paused
    cdef public bint reading_paused
    cdef double _untaken
    cdef bint _is_given_up
    cdef object _drained

    cpdef on_taken(self)
    cpdef give_up(self)
    cpdef begin_taking(self)
    cpdef bint takes_more(self) except -1
    cpdef forget_taking(self)
    cpdef pause_reading(self)
    cpdef resume_reading(self)
