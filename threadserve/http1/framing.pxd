from threadserve.http.head cimport MessageFraming


cpdef MessageFraming parse_framing(list control_fields, bint is_http11)
