from threadserve.http.peer cimport Peer


cpdef tuple make_entry(dict scope, Peer peer, int status)
