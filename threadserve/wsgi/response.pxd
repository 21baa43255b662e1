import cython

from threadserve.http.head cimport ResponseHead

cdef long long LENGTH_UNKNOWN


@cython.final
cdef class SpecialField:
    cdef bytes line
    cdef long long length
    cdef bint closes
    cdef bytes replaces


@cython.final
cdef class HeadFormatter:
    cdef dict _status_lines
    cdef dict _lower_names
    cdef dict _lines
    cdef dict _special_fields

    @cython.locals(
        lines=list, length="long long", length_at=Py_ssize_t, closes=bint, replaces=tuple, known=dict, special=SpecialField,
        first=bytes, code=int,
    )
    cpdef ResponseHead format_head(self, object status, object headers)
    cdef SpecialField _find_field(self, tuple pair)
    cdef bytes _format_status(self, str text)
    cdef SpecialField _format_field(self, str name, str value)
    cdef bytes _lower_name(self, str name)
