import cython

from threadserve.metrics.loop_metrics cimport LoopMetrics

cdef double inf
cdef int SMALL_BATCH, SAMPLE_EVERY
cdef Py_ssize_t MAX_HELD_BYTES, PIECE_BYTES


@cython.final
cdef class WriteBatcher:
    cdef double _unbatched_seconds
    cdef double _blocked_seconds
    cdef bint _is_turn_counted
    cdef double batch_seconds
    cdef double _flushed_at
    cdef object _loop
    cdef list _buffers
    cdef Py_ssize_t _sent_in_turn
    cdef double _unbatched_until
    cdef double _active_at
    cdef Py_ssize_t _batch_size
    cdef int _until_sample
    cdef bint _samples_turn
    cdef object clock
    cdef readonly LoopMetrics metrics

    cdef schedule(self, WriteBuffer buffer)
    cdef _batch(self, WriteBuffer buffer)
    cdef flush_at_turn_end(self, WriteBuffer buffer)
    cdef _begin_turn(self)
    cdef bint _detects_blocked(self, double now) except -1
    @cython.locals(buffer=WriteBuffer)
    cdef _flush_all(self)


@cython.final
cdef class WriteBuffer:
    cdef list _held
    cdef Py_ssize_t _held_bytes
    cdef bint _writes_in_pieces
    cdef WriteBatcher _batcher
    cdef double _last_part_at
    cdef object _send
    cdef object _transport
    cdef bint is_scheduled

    cdef write_batched(self, list pieces, Py_ssize_t size, bint more)
    cpdef count_sent(self, Py_ssize_t size)
    cdef write(self, list pieces, Py_ssize_t size)
    cdef _add(self, list pieces, Py_ssize_t size)
    cdef flush(self)
    cdef write_eof(self)
    cdef close(self)
    cdef discard(self)
