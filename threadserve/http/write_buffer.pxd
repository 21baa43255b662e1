import cython

from threadserve.metrics.loop_metrics cimport LoopMetrics

cdef double inf
cdef int FEW, LOOK_EVERY
cdef Py_ssize_t HOLD_BYTES, PIECE


@cython.final
cdef class WriteBatcher:
    cdef double _unbatched_seconds
    cdef double _blocked_seconds
    cdef bint _is_due
    cdef double batch_seconds
    cdef double _left_at
    cdef object _loop
    cdef list _outputs
    cdef Py_ssize_t _posted
    cdef double _rests_until
    cdef double _seen_at
    cdef Py_ssize_t _together
    cdef int _until_look
    cdef bint _watches
    cdef object clock
    cdef readonly LoopMetrics metrics

    cdef post(self, WriteBuffer output)
    cdef _hold_for_others(self, WriteBuffer output)
    cdef keep(self, WriteBuffer output)
    cdef _look(self)
    cdef bint _finds_blocked(self, double now) except -1
    cdef Py_ssize_t _share(self)
    @cython.locals(output=WriteBuffer)
    cdef _flush_all(self)


@cython.final
cdef class WriteBuffer:
    cdef list _held
    cdef Py_ssize_t _held_bytes
    cdef bint _in_pieces
    cdef WriteBatcher _batcher
    cdef double _part_at
    cdef object _send
    cdef object _transport
    cdef bint is_kept

    cdef hold(self, list pieces, Py_ssize_t size, bint more)
    cdef bint _comes_quickly(self) except -1
    cpdef count(self, Py_ssize_t size)
    cdef write(self, list pieces, Py_ssize_t size)
    cdef _add(self, list pieces, Py_ssize_t size)
    cdef flush(self)
    cdef write_eof(self)
    cdef close(self)
    cdef drop(self)
