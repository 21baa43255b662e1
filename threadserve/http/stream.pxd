from threadserve.http.flow cimport FlowControl
from threadserve.http.head cimport ResponseHead
from threadserve.http.peer cimport Peer


cdef class Stream:
    cdef public FlowControl flow
    cdef public Peer peer

    cpdef Py_ssize_t prepare_response(self, object status, object fields) except -2
    cpdef prepare_formatted(self, ResponseHead head)
    cpdef announce_trailers(self)
    cpdef start_response(self, bytes body, bint more)
    cpdef send_body(self, bytes data, bint more)
    cpdef send_trailers(self, object fields, bint more)
    cpdef send_informational(self, int status, object fields)
    cpdef end_response(self)
    cpdef response_fields(self)
    cpdef switch_protocols(self, object fields, object protocol)
    cpdef bint is_closing(self) except -1
    cpdef probe_client(self)
    cpdef pause_reading(self)
    cpdef resume_reading(self)
    cpdef reset(self)
