import cython


@cython.final
cdef class HeaderLines:
    cdef bytes _config_lines
    cdef bint _is_date_sent
    cdef public dict cache
    cdef public dict statuses
    cdef public bytes default

    cpdef refresh_date(self)
    cpdef bytes add_status(self, object status)
    cpdef bytes add_to_cache(self, tuple field)
