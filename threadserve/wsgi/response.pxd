import cython

from threadserve.http.head cimport ResponseHead

cdef long long LENGTH_UNKNOWN


@cython.final
cdef class Special:
    cdef bytes line
    cdef long long length
    cdef bint closes
    cdef bytes replaces


@cython.final
cdef class KnownLines:
    cdef dict _statuses
    cdef dict _names
    cdef dict _fields
    cdef dict _special

    @cython.locals(
        lines=list, length="long long", length_at=Py_ssize_t, closes=bint, replaces=tuple, known=dict, special=Special,
        first=bytes, code=int,
    )
    cpdef ResponseHead head(self, object status, object headers)
    cdef Special _look_up(self, tuple pair)
    cdef bytes _learn_status(self, str text)
    cdef Special _learn(self, str name, str value)
    cdef bytes _learn_name(self, str name)
