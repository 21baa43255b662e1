"""The locks of the pool's threads.

The compiled form of `locks.py`. Any thread may release a `Semaphore`; one thread waits for it. A `Mutex` belongs to
the object that it guards.

They are the operating system's, because Python's cost too much on free-threaded builds: a lock that is waited for, and
a queue whose reader wakes while the writer still holds it, are polled forty times, and each time the thread yields its
processor to all others first. On a busy machine that takes milliseconds.
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


cdef class Semaphore:
    """A counting semaphore, 0 at first, on which one thread waits; each release ends one wait, sooner or later."""

    def __cinit__(self):
        self._permits = 0
        if pthread_mutex_init(&self._mutex, NULL) or pthread_cond_init(&self._released, NULL):
            raise MemoryError

    def __dealloc__(self):
        pthread_cond_destroy(&self._released)
        pthread_mutex_destroy(&self._mutex)

    cpdef acquire(self):
        """Wait for a release."""
        with nogil:
            pthread_mutex_lock(&self._mutex)
            while self._permits == 0:
                pthread_cond_wait(&self._released, &self._mutex)
            self._permits -= 1
            pthread_mutex_unlock(&self._mutex)

    cpdef release_threadsafe(self):
        """Release the semaphore, which ends one wait."""
        # The GIL, where there is one, may be kept: no thread waits for it while it holds the mutex.
        pthread_mutex_lock(&self._mutex)
        self._permits += 1
        pthread_mutex_unlock(&self._mutex)
        pthread_cond_signal(&self._released)


cdef class Mutex:
    """A mutual exclusion lock, not reentrant, held for a few lines.

    `lock` and `unlock` serve where a `with` block would take too long.
    """

    def __cinit__(self):
        if pthread_mutex_init(&self._mutex, NULL):
            raise MemoryError

    def __dealloc__(self):
        pthread_mutex_destroy(&self._mutex)

    cpdef lock(self):
        """Acquire the lock, waiting until no other thread has it."""
        if pthread_mutex_trylock(&self._mutex):
            # Its holder may need the GIL, or wait for the garbage collector, which waits for this thread.
            with nogil:
                pthread_mutex_lock(&self._mutex)

    cpdef unlock(self):
        """Release the lock."""
        pthread_mutex_unlock(&self._mutex)

    def __enter__(self):
        self.lock()

    def __exit__(self, *failure):
        self.unlock()
