import cython


@cython.final
cdef class HeadLines:
    cdef bytes _config_lines
    cdef bint _sends_date
    cdef public dict known
    cdef public dict statuses
    cdef public bytes default

    cpdef renew(self)
    cpdef bytes status(self, object status)
    cpdef bytes learn(self, tuple field)
