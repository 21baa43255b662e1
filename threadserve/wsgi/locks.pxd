cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass


cdef class Semaphore:
    cdef pthread_mutex_t _mutex
    cdef pthread_cond_t _released
    cdef int _permits

    cpdef acquire(self)
    cpdef release_threadsafe(self)


cdef class Mutex:
    cdef pthread_mutex_t _mutex

    cpdef lock(self)
    cpdef unlock(self)
