cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass


cdef class Parking:
    cdef pthread_mutex_t _mutex
    cdef pthread_cond_t _is_woken
    cdef int _wakes

    cpdef sleep(self)
    cpdef wake_threadsafe(self)


cdef class Mutex:
    cdef pthread_mutex_t _mutex

    cpdef lock(self)
    cpdef unlock(self)
