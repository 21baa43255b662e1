import cython

from threadserve.http2.budgets cimport Budget
from threadserve.http2.stream cimport H2Stream

cdef Py_ssize_t FRAME_HEAD_BYTES, MAX_SETTINGS_BYTES, MAX_BLOCK_FRAMES
cdef int DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION
cdef int PRIORITY_UPDATE, ACK, END_STREAM, END_HEADERS, PADDED


@cython.final
cdef class FrameReader:
    cdef Py_ssize_t _block_bytes
    cdef int _block_frames
    cdef Py_ssize_t _block_limit
    cdef long long _block_stream
    cdef Budget _control_budget
    cdef bytes _data
    cdef long long _latest_stream_id
    cdef list _new_stream_ids
    cdef dict _open_streams
    cdef bint _has_preface
    cdef Py_ssize_t _position
    cdef Budget _reset_budget
    cdef public Py_ssize_t dropped_bytes
    cdef public bint goaway_received
    cdef public bint pending
    cdef public list priorities
    cdef public long long min_table_size

    cpdef feed(self, bytes data)
    cpdef clear(self)
    @cython.locals(data=bytes, size=Py_ssize_t, start=Py_ssize_t, position=Py_ssize_t, length=Py_ssize_t, after=Py_ssize_t)
    cpdef bytes next_frames(self, int count)
    cdef bint _check_preface(self, bytes data) except -1
    @cython.locals(frame_type=int)
    cdef bint _check_frame(self, bytes data, Py_ssize_t position, Py_ssize_t length) except -1
    @cython.locals(flags=int, stream_id=cython.longlong, is_empty=bint)
    cdef bint _check_data(self, bytes data, Py_ssize_t position, Py_ssize_t length) except -1
    @cython.locals(stream=H2Stream)
    cdef _check_stream(self, long long stream_id)
    @cython.locals(frame_type=int, stream_id=cython.longlong)
    cdef _check_block(self, bytes data, Py_ssize_t position, Py_ssize_t length)
    @cython.locals(frame_type=int, stream_id=cython.longlong)
    cdef bint _check_control(self, bytes data, Py_ssize_t position, Py_ssize_t length) except -1
    cdef _read_table_sizes(self, bytes settings)
    cdef _read_priority(self, bytes payload, long long stream_id)


cdef long long stream_id_at(bytes data, Py_ssize_t position) except -1
