"""A response's bytes, passed from the thread that made them to another.

The compiled form of `response_buffer.py`. One thread packs a buffer and passes it on; then another reads it.

The bytes are copied, and no object crosses: on free-threaded builds, a thread that drops the last reference to another
thread's object leaves the rest to that thread, through a queue with a lock, which takes longer than the copy.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cdef enum:
    # From this size on passing the object costs less than a copy.
    MIN_SHARED_BYTES = 32768


cdef class ResponseBuffer:
    """The bytes of a response's head and of its body, both empty at first."""

    def __cinit__(self):
        self._data = self._inline

    def __dealloc__(self):
        if self._data != self._inline:
            free(self._data)

    cpdef pack(self, bytes head, bytes body):
        """Store the bytes. Called once."""
        cdef Py_ssize_t head_size = PyBytes_GET_SIZE(head)
        cdef Py_ssize_t body_size = PyBytes_GET_SIZE(body)
        cdef char *data
        if body_size > MIN_SHARED_BYTES:
            self._large_body = body
            body_size = 0
        if head_size + body_size > INLINE_BYTES:
            data = <char *>malloc(head_size + body_size)
            if data == NULL:
                raise MemoryError
            self._data = data
        memcpy(self._data, PyBytes_AS_STRING(head), head_size)
        memcpy(self._data + head_size, PyBytes_AS_STRING(body), body_size)
        self._head_size = head_size
        self._body_size = body_size

    cpdef bytes packed_head(self):
        """Return the head's bytes, as an object of the calling thread."""
        return PyBytes_FromStringAndSize(self._data, self._head_size)

    cpdef bytes packed_body(self):
        """Return the body's bytes, as an object of the calling thread."""
        if self._large_body is not None:
            return self._large_body
        return PyBytes_FromStringAndSize(self._data + self._head_size, self._body_size)
