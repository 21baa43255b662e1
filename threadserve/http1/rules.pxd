from threadserve.http.head cimport MessageRules


cpdef MessageRules read_rules(list special, bint is_http11)
