from threadserve.http.head cimport ResponseHead


cdef class ResponseSink:
    cdef public object post
    cdef public object environ_names
    cdef public bint adds_root_path
    cdef public bint can_send_files

    cpdef object complete_threadsafe(self, object response)
    cpdef respond(self, ResponseHead head, bytes body, tuple environ)
