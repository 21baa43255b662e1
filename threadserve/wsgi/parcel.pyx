"""Bytes on their way from the thread that has made them to another.

The compiled form of `parcel.py`. A parcel is packed by one thread and then, when that has handed it over, read by
another.

What crosses is a copy, and no object: on free-threaded builds, a thread that lets go of the last reference to another
thread's object has that thread do it, through a queue with a lock, which takes longer than to copy what is in one.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cdef enum:
    # From here on the object costs less than its copy.
    LARGE = 32768


cdef class Parcel:
    """Two pieces of bytes. Both are empty at first."""

    def __cinit__(self):
        self._data = self._inline

    def __dealloc__(self):
        if self._data != self._inline:
            free(self._data)

    cpdef pack(self, bytes first, bytes second):
        """Puts them in; once."""
        cdef Py_ssize_t first_size = PyBytes_GET_SIZE(first)
        cdef Py_ssize_t second_size = PyBytes_GET_SIZE(second)
        cdef char *data
        if second_size > LARGE:
            self._large = second
            second_size = 0
        if first_size + second_size > INLINE:
            data = <char *>malloc(first_size + second_size)
            if data == NULL:
                raise MemoryError
            self._data = data
        memcpy(self._data, PyBytes_AS_STRING(first), first_size)
        memcpy(self._data + first_size, PyBytes_AS_STRING(second), second_size)
        self._first_size = first_size
        self._second_size = second_size

    cpdef bytes first(self):
        """The first piece, as the calling thread's own."""
        return PyBytes_FromStringAndSize(self._data, self._first_size)

    cpdef bytes second(self):
        """The second piece, as the calling thread's own."""
        if self._large is not None:
            return self._large
        return PyBytes_FromStringAndSize(self._data + self._first_size, self._second_size)
