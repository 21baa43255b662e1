import cython

from threadserve.http.context cimport LoopContext
from threadserve.http.exchange cimport Exchange

cdef int DISCONNECTED
cdef int NOT_STARTED, HEAD_HELD, HEAD_SENT, BODY, TRAILERS, COMPLETE, ABORTED
cdef int MAX_DISCARDED_IN_A_ROW
cdef str CANCEL_ON_DISCONNECT
cdef object _get_running_loop, sleep, copy_body, check_final_status


@cython.final
cdef class ASGISend:
    cdef Exchange _exchange
    cdef LoopContext _context
    cdef int _discarded_parts

    cdef _start(self, object message)
