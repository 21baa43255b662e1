import cython

from threadserve.websocket.codec cimport FrameBuffer, server_frame


@cython.final
cdef class FrameReader:
    cdef FrameBuffer _buffer
    cdef bint _compressed
    cdef object _deflate
    cdef object _frames
    cdef Py_ssize_t _limit
    cdef object _parts
    cdef Py_ssize_t _size

    cpdef allow_deflate(self, deflate)
    cpdef feed(self, data)
    cpdef next_event(self)
    cdef _read_on(self)
    cdef _check_length(self, int first, length)
    cdef _inflated(self, deflate, int first, bytes payload)
    cdef _judged(self, int first, bytes payload)
    cdef _completed(self, frame)
    cdef _collect(self, part)
    cdef _end_message(self)
