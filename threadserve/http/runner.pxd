import cython

from threadserve.http.registry cimport ConnectionRegistry


@cython.final
cdef class ASGIRunner:
    cdef object _app
    cdef ConnectionRegistry _registry
    cdef object _start_task

    cpdef start(self, object call)
