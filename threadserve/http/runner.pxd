import cython

from threadserve.http.registry cimport Registry


@cython.final
cdef class ASGIRunner:
    cdef object _app
    cdef Registry _registry
    cdef object _start_task

    cpdef start(self, object call)
