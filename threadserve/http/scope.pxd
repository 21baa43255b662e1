import cython

from threadserve.http.head cimport RequestHead
from threadserve.http.peer cimport Peer

cdef str ASGI_VERSION, EARLY_HINT_EXTENSION, PATHSEND_EXTENSION, SPEC_VERSION, TRAILERS_EXTENSION


@cython.final
cdef class ScopeBuilder:
    cdef bint _cancels_on_disconnect
    cdef dict _lifespan_state
    cdef bint _pathsend
    cdef str _root_path
    cdef bytes _root_path_bytes

    cpdef dict build(self, RequestHead head, Peer peer)
