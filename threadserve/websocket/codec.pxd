import cython

from libc.stdint cimport uint64_t

@cython.final
cdef class FrameBuffer:
    cdef Py_ssize_t _limit
    cdef object _data
    cdef Py_ssize_t _position
    cdef Py_ssize_t _missing
    cdef readonly bint pending
    # The message that is arriving: the object that it becomes, its bytes so far, and its length.
    cdef object _target
    cdef bint _is_text
    cdef Py_ssize_t _filled
    cdef Py_ssize_t _room
    cdef Py_ssize_t _length
    cdef unsigned char _key[4]
    cdef uint64_t _seen

    cpdef feed(self, data)
    cpdef bint is_empty(self)
    cpdef take_message(self)
    cpdef bytes peek(self, Py_ssize_t size)
    cpdef bint require(self, Py_ssize_t size)
    cpdef bytes take_payload(self, Py_ssize_t start, Py_ssize_t length)
    cdef _begin(self, bint is_text, Py_ssize_t length, const unsigned char* key, Py_ssize_t arrived)
    cdef _add(self, const unsigned char* source, Py_ssize_t size)
    cdef _grow(self, Py_ssize_t size)
    cdef _end(self)
    cdef void _skip(self, Py_ssize_t size)

cpdef bytes encode_frame_head(int first, Py_ssize_t size)
cpdef bytes encode_frame(int first, payload)
cpdef bytes encode_text_frame(text)
