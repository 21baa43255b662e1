import cython

from threadserve.http.asgi_send cimport ASGISend
from threadserve.http.context cimport LoopContext
from threadserve.http.exchange cimport Exchange
from threadserve.websocket.codec cimport encode_frame, encode_text_frame
from threadserve.websocket.connection cimport WebSocketConnection

cdef int COMPLETE
cdef int CONNECTING, DENYING, ACCEPTED, CLOSED, DISCONNECTED
cdef Py_ssize_t MIN_UNJOINED_BYTES
cdef object _get_running_loop


@cython.final
cdef class WebSocketSession:
    cdef WebSocketConnection _connection
    cdef LoopContext _context
    cdef ASGISend _denial_send
    cdef Exchange _exchange
    cdef dict _disconnect_message
    cdef object _handshake
    cdef list _messages
    cdef object _loop
    cdef object _settings
    cdef list _waiters
    cdef readonly double started_at
    cdef public bint is_cancelled
    cdef public int state
    cdef public dict scope
    cdef public object task

    cdef _wake(self)
    cpdef Py_ssize_t deliver(self, message) except -1
    cdef _send_now(self, WebSocketConnection connection, message)
