import cython


cdef int KNOWN_LENGTH, KNOWN_LIMIT


@cython.final
cdef class EnvironMaker:
    cdef dict _base
    cdef dict _keys
    cdef str _mount

    cpdef dict make(self, dict scope, object body, object length, bint adds_root_path)
    cdef _split_path(self, dict environ, dict scope, bint adds_root_path)
    cdef _add_addresses(self, dict environ, dict scope)
    @cython.locals(name=bytes, value=bytes, key=str, text=str, keys=dict)
    cdef _add_headers(self, dict environ, list headers)
    cdef str _learn(self, bytes name)
