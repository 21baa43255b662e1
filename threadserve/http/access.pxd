from threadserve.http.peer cimport Peer


cpdef tuple entry_of(dict scope, Peer peer, int status)
