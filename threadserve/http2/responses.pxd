import cython

cdef int LENGTH_UNKNOWN
cdef bytes CONTENT_LENGTH


@cython.final
cdef class ResponseFields:
    cdef public list fields
    cdef public long long length
    cdef public int status

    cpdef declare_length(self, long long length)


@cython.final
cdef class FieldFormatter:
    cdef list _config_fields
    cdef dict _cache
    cdef bint _is_date_sent
    cdef public list default_fields

    cpdef refresh_date(self)
    @cython.locals(head=ResponseFields, made=list, given=list, cache=dict)
    cpdef ResponseFields prepare(self, object status, object fields)
    cdef _add_field(self, ResponseFields head, tuple field)
    cdef object _cache_field(self, tuple field, object encoded)
