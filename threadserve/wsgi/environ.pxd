import cython


cdef int MAX_CACHED_NAME_BYTES, MAX_CACHED_KEYS


@cython.final
cdef class EnvironBuilder:
    cdef dict _base
    cdef dict _keys
    cdef str _script_name

    cpdef dict build(self, dict scope, object body, object length, bint adds_root_path)
    cdef _split_path(self, dict environ, dict scope, bint adds_root_path)
    cdef _add_addresses(self, dict environ, dict scope)
    @cython.locals(name=bytes, value=bytes, key=str, text=str, keys=dict)
    cdef _add_headers(self, dict environ, list headers)
    cdef str _header_key(self, bytes name)
