import cython

from threadserve.http2.budgets cimport Budget
from threadserve.http2.stream cimport H2Stream

cdef Py_ssize_t HEAD_SIZE, MAX_SETTINGS_SIZE, MAX_BLOCK_FRAMES
cdef int DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION
cdef int PRIORITY_UPDATE, ACK, END_STREAM, END_HEADERS, PADDED


@cython.final
cdef class FrameReader:
    cdef Py_ssize_t _block_bytes
    cdef int _block_frames
    cdef Py_ssize_t _block_limit
    cdef long long _block_stream
    cdef Budget _control
    cdef bytes _data
    cdef long long _latest
    cdef list _new
    cdef dict _open
    cdef bint _is_begun
    cdef Py_ssize_t _position
    cdef Budget _reset_budget
    cdef public Py_ssize_t dropped
    cdef public bint peer_leaves
    cdef public bint pending
    cdef public list priorities
    cdef public long long table_size

    cpdef feed(self, bytes data)
    cpdef discard(self)
    @cython.locals(data=bytes, size=Py_ssize_t, start=Py_ssize_t, position=Py_ssize_t, length=Py_ssize_t, after=Py_ssize_t)
    cpdef bytes take(self, int count)
    cdef bint _begins(self, bytes data) except -1
    @cython.locals(kind=int)
    cdef bint _admit(self, bytes data, Py_ssize_t position, Py_ssize_t length) except -1
    @cython.locals(flags=int, stream_id=cython.longlong, is_empty=bint)
    cdef bint _admit_data(self, bytes data, Py_ssize_t position, Py_ssize_t length) except -1
    @cython.locals(stream=H2Stream)
    cdef _note_stream(self, long long stream_id)
    @cython.locals(kind=int, stream_id=cython.longlong)
    cdef _count_block(self, bytes data, Py_ssize_t position, Py_ssize_t length)
    @cython.locals(kind=int, stream_id=cython.longlong)
    cdef bint _admit_control(self, bytes data, Py_ssize_t position, Py_ssize_t length) except -1
    cdef _note_table_sizes(self, bytes settings)
    cdef _take_priority(self, bytes payload, long long stream_id)


cdef long long stream_id_at(bytes data, Py_ssize_t position) except -1
