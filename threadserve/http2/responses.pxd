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
cdef class FieldMaker:
    cdef list _config_fields
    cdef dict _known
    cdef bint _is_date_sent
    cdef public list default

    cpdef renew(self)
    @cython.locals(head=ResponseFields, made=list, own=list, known=dict)
    cpdef ResponseFields prepare(self, object status, object fields)
    cdef _add(self, ResponseFields head, tuple field)
    cdef object _learn(self, tuple field, object sent)
