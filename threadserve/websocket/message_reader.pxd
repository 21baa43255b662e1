import cython

from threadserve.websocket.codec cimport FrameBuffer, encode_frame


@cython.final
cdef class MessageReader:
    cdef FrameBuffer _buffer
    cdef bint _compressed
    cdef object _deflate
    cdef object _frames
    cdef Py_ssize_t _limit
    cdef object _fragments
    cdef Py_ssize_t _size

    cpdef allow_deflate(self, deflate)
    cpdef feed(self, data)
    cpdef next_event(self)
    cdef _next_parsed_event(self)
    cdef _check_length(self, int first, length)
    cdef _inflate_message(self, deflate, int first, bytes payload)
    cdef _parse_frame(self, int first, bytes payload)
    cdef _to_event(self, frame)
    cdef _add_fragment(self, fragment)
    cdef _end_message(self)
