import cython


@cython.final
cdef class HeaderLines:
    cdef bytes _config_lines
    cdef bint _is_date_sent
    cdef public dict known
    cdef public dict statuses
    cdef public bytes default

    cpdef refresh_date(self)
    cpdef bytes status(self, object status)
    cpdef bytes learn(self, tuple field)
