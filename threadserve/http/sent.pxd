import cython

cdef object NOTHING


@cython.final
cdef class Sent:
    pass
