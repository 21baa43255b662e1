"""Where threads wait for one another.

The compiled form of `parking.py`. A `Parking` belongs to the thread that sleeps, and any other may wake it; a `Mutex`
belongs to what it guards.

They are the operating system's, for what Python has costs more than it should on free-threaded builds: a lock that is
waited for, and a queue whose reader wakes while the writer still holds it, are polled forty times, and each time the
thread lets all others have its processor first. On a busy machine that takes milliseconds.
"""

cdef extern from "<pthread.h>" nogil:
    int pthread_mutex_init(pthread_mutex_t *, void *)
    int pthread_mutex_destroy(pthread_mutex_t *)
    int pthread_mutex_lock(pthread_mutex_t *)
    int pthread_mutex_trylock(pthread_mutex_t *)
    int pthread_mutex_unlock(pthread_mutex_t *)
    int pthread_cond_init(pthread_cond_t *, void *)
    int pthread_cond_destroy(pthread_cond_t *)
    int pthread_cond_wait(pthread_cond_t *, pthread_mutex_t *)
    int pthread_cond_signal(pthread_cond_t *)


cdef class Parking:
    """One thread's place. It is woken once for each time that it sleeps, before or after it has fallen asleep."""

    def __cinit__(self):
        self._wakes = 0
        if pthread_mutex_init(&self._mutex, NULL) or pthread_cond_init(&self._is_woken, NULL):
            raise MemoryError

    def __dealloc__(self):
        pthread_cond_destroy(&self._is_woken)
        pthread_mutex_destroy(&self._mutex)

    cpdef sleep(self):
        """Waits to be woken."""
        with nogil:
            pthread_mutex_lock(&self._mutex)
            while self._wakes == 0:
                pthread_cond_wait(&self._is_woken, &self._mutex)
            self._wakes -= 1
            pthread_mutex_unlock(&self._mutex)

    cpdef wake_threadsafe(self):
        """Wakes the thread."""
        # With the GIL, where there is one: nobody who has the mutex waits for it.
        pthread_mutex_lock(&self._mutex)
        self._wakes += 1
        pthread_mutex_unlock(&self._mutex)
        pthread_cond_signal(&self._is_woken)


cdef class Mutex:
    """A lock that is held for a few lines, and by one thread once. `lock` and `unlock` are for where `with` takes too
    long.
    """

    def __cinit__(self):
        if pthread_mutex_init(&self._mutex, NULL):
            raise MemoryError

    def __dealloc__(self):
        pthread_mutex_destroy(&self._mutex)

    cpdef lock(self):
        """Waits until no other thread has it."""
        if pthread_mutex_trylock(&self._mutex):
            # Whoever has it may need the GIL, or be stopped for the garbage collector until we are.
            with nogil:
                pthread_mutex_lock(&self._mutex)

    cpdef unlock(self):
        """Lets another thread have it."""
        pthread_mutex_unlock(&self._mutex)

    def __enter__(self):
        self.lock()

    def __exit__(self, *failure):
        self.unlock()
