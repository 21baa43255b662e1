"""The compiled form of `codec.py`, with the same names, signatures and results.

A message is unmasked straight into the object that it becomes, even if it arrives in pieces: a text into a str of
ASCII, unless a byte above ASCII has been seen; then it is decoded from there.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF
from libc.stdint cimport uint64_t
from libc.string cimport memcpy


cdef extern from "Python.h":
    int _PyBytes_Resize(PyObject **object, Py_ssize_t size) except -1
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 largest)
    int PyUnicode_Resize(PyObject **object, Py_ssize_t size) except -1
    object PyUnicode_DecodeUTF8(const char *data, Py_ssize_t size, const char *errors)
    bint PyUnicode_IS_ASCII(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)
    void *PyUnicode_DATA(object)


# The constants of frame_heads.py.
cdef enum:
    WHOLE_TEXT = 0x81
    WHOLE_BINARY = 0x82
    MASKED = 0x80
    MAX_SHORT = 125
    TWO_BYTES = 126
    EIGHT_BYTES = 127
    MAX_UINT16 = 0xFFFF

cdef enum:
    # The buffer of a message that has not arrived; beyond it, the buffer is twice what has.
    INITIAL_BUFFER_BYTES = 262144

cdef uint64_t ABOVE_ASCII = 0x8080808080808080


cdef class FrameBuffer:
    """The received bytes of a client's frames that have not been taken.

    `pending` is False while the buffer is empty, or lacks bytes of the frame that has begun.
    """

    def __init__(self, limit, unmask):
        self._limit = limit
        self._data = b""
        self._position = 0
        self._missing = 0
        self._target = None
        self.pending = False

    cpdef feed(self, data):
        """Add received bytes, without a copy if the buffer is empty."""
        cdef Py_ssize_t size, taken
        if type(data) is not bytes:
            data = bytes(data)
        size = len(<bytes>data)
        if self._missing > 0 and self._target is not None:
            taken = min(size, self._missing)
            self._add(start_of(data), taken)
            if taken < size:
                self._data = data
                self._position = taken
        elif size_of(self._data) == 0:
            self._data = data
        else:
            if type(self._data) is bytearray:
                del (<bytearray>self._data)[: self._position]
            else:
                self._data = bytearray(memoryview(self._data)[self._position :])
            self._position = 0
            self._data += data
        self._missing -= size
        self.pending = self._missing <= 0

    cpdef bint is_empty(self):
        """Return whether no bytes are left."""
        return self._target is None and size_of(self._data) == 0

    cpdef take_message(self):
        """Take the next frame's payload, if the frame is a whole text or binary message within the limit.

        Returns None if it is not, or is not complete. Raises `UnicodeDecodeError`.
        """
        cdef const unsigned char *data
        cdef Py_ssize_t size, start
        cdef uint64_t length, shortest
        cdef int index
        if not self.pending:
            return None
        if self._target is not None:
            return self._end()
        size = size_of(self._data) - self._position
        if size < 6:
            return None
        data = start_of(self._data) + self._position
        if data[0] != WHOLE_TEXT and data[0] != WHOLE_BINARY or not data[1] & MASKED:
            return None
        start = 6
        length = data[1] - MASKED
        if length > MAX_SHORT:
            start = 8 if length == TWO_BYTES else 14
            shortest = TWO_BYTES if length == TWO_BYTES else MAX_UINT16 + 1
            if size < start:
                return None
            length = 0
            for index in range(2, start - 4):
                length = length << 8 | data[index]
            if length < shortest:
                return None
        if length > <uint64_t>self._limit:
            return None
        size = min(size - start, <Py_ssize_t>length)
        self._begin(data[0] == WHOLE_TEXT, length, data + start - 4, size)
        self._add(data + start, size)
        self._skip(start + size)
        if size == <Py_ssize_t>length:
            return self._end()
        self._missing = <Py_ssize_t>length - size
        self.pending = False
        return None

    cpdef bytes peek(self, Py_ssize_t size):
        """Return the next `size` bytes, or as many as there are."""
        size = min(size, size_of(self._data) - self._position)
        return PyBytes_FromStringAndSize(<const char *>start_of(self._data) + self._position, size)

    cpdef bint require(self, Py_ssize_t size):
        """Return whether the next frame, of `size` bytes, is complete."""
        self._missing = size - (size_of(self._data) - self._position)
        self.pending = self._missing <= 0
        return self.pending

    cpdef bytes take_payload(self, Py_ssize_t start, Py_ssize_t length):
        """Take the next frame, and return its payload, which begins after `start` bytes, unmasked."""
        cdef const unsigned char *data
        if start < 4 or length < 0 or length > size_of(self._data) - self._position - start:
            raise IndexError("the frame is not complete")
        payload = PyBytes_FromStringAndSize(NULL, length)
        data = start_of(self._data) + self._position + start
        unmask(<unsigned char *>PyBytes_AS_STRING(payload), data, length, data - 4, 0)
        self._skip(start + length)
        return payload

    # The message that is arriving.

    cdef _begin(self, bint is_text, Py_ssize_t length, const unsigned char *key, Py_ssize_t arrived):
        self._is_text = is_text
        self._length = length
        self._room = min(length, max(INITIAL_BUFFER_BYTES, 2 * arrived))
        self._filled = 0
        self._seen = 0
        memcpy(self._key, key, 4)
        self._target = PyUnicode_New(self._room, 127) if is_text else PyBytes_FromStringAndSize(NULL, self._room)

    cdef _add(self, const unsigned char *source, Py_ssize_t size):
        cdef unsigned char *target
        if size > self._room - self._filled:
            self._grow(size)
        if self._is_text:
            target = <unsigned char *>PyUnicode_DATA(self._target)
        else:
            target = <unsigned char *>PyBytes_AS_STRING(self._target)
        self._seen |= unmask(target + self._filled, source, size, self._key, self._filled & 3)
        self._filled += size

    cdef _grow(self, Py_ssize_t size):
        # An object may be resized while there is a single reference to it.
        cdef PyObject *target = <PyObject *>self._target
        Py_INCREF(self._target)
        self._target = None
        self._room = min(self._length, 2 * (self._filled + size))
        try:
            if self._is_text:
                PyUnicode_Resize(&target, self._room)
            else:
                _PyBytes_Resize(&target, self._room)
        except MemoryError:
            Py_XDECREF(target)
            raise
        self._target = <object>target
        Py_DECREF(self._target)

    cdef _end(self):
        message, self._target = self._target, None
        self.pending = size_of(self._data) > 0
        if self._is_text and self._seen & ABOVE_ASCII:
            return PyUnicode_DecodeUTF8(<const char *>PyUnicode_DATA(message), self._length, NULL)
        return message

    cdef void _skip(self, Py_ssize_t size):
        self._position += size
        if self._position == size_of(self._data):
            self._data = b""
            self._position = 0
            self.pending = False


cdef inline const unsigned char *start_of(object data):
    if type(data) is bytes:
        return <const unsigned char *>PyBytes_AS_STRING(data)
    return <const unsigned char *>PyByteArray_AS_STRING(data)


cdef inline Py_ssize_t size_of(object data):
    return len(<bytes>data) if type(data) is bytes else len(<bytearray>data)


cdef uint64_t unmask(
    unsigned char *target, const unsigned char *source, Py_ssize_t size, const unsigned char *key, int turn
) noexcept nogil:
    """Unmask with the key from its byte `turn` on, and return the union of the bits of the payload's bytes."""
    cdef unsigned char keys[8]
    cdef uint64_t mask, first, second, third, fourth, seen = 0
    cdef Py_ssize_t index = 0
    for index in range(8):
        keys[index] = key[(turn + index) & 3]
    memcpy(&mask, keys, 8)
    index = 0
    while index + 32 <= size:
        memcpy(&first, source + index, 8)
        memcpy(&second, source + index + 8, 8)
        memcpy(&third, source + index + 16, 8)
        memcpy(&fourth, source + index + 24, 8)
        first ^= mask
        second ^= mask
        third ^= mask
        fourth ^= mask
        seen |= first | second | third | fourth
        memcpy(target + index, &first, 8)
        memcpy(target + index + 8, &second, 8)
        memcpy(target + index + 16, &third, 8)
        memcpy(target + index + 24, &fourth, 8)
        index += 32
    while index + 8 <= size:
        memcpy(&first, source + index, 8)
        first ^= mask
        seen |= first
        memcpy(target + index, &first, 8)
        index += 8
    while index < size:
        target[index] = source[index] ^ keys[index & 7]
        seen |= target[index]
        index += 1
    return seen


cdef bytes framed(int first, const char *payload, Py_ssize_t size, Py_ssize_t copied):
    """Return the head for a payload of `size` bytes, and the first `copied` bytes of it, in one allocation."""
    cdef Py_ssize_t start = 2 if size <= MAX_SHORT else 4 if size <= MAX_UINT16 else 10
    cdef Py_ssize_t index, rest = size
    frame = PyBytes_FromStringAndSize(NULL, start + copied)
    cdef unsigned char *target = <unsigned char *>PyBytes_AS_STRING(frame)
    target[0] = first
    target[1] = size if start == 2 else TWO_BYTES if start == 4 else EIGHT_BYTES
    if start > 2:
        for index in range(start - 1, 1, -1):
            target[index] = rest & 0xFF
            rest >>= 8
    if copied:
        memcpy(target + start, payload, copied)
    return frame


cpdef bytes encode_frame_head(int first, Py_ssize_t size):
    """Return the head of a server's frame: its first byte, and the length of its payload."""
    return framed(first, NULL, size, 0)


cpdef bytes encode_frame(int first, payload):
    """Return a server's frame that begins with the byte `first`."""
    if type(payload) is not bytes:
        payload = bytes(payload)
    return framed(first, PyBytes_AS_STRING(payload), len(<bytes>payload), len(<bytes>payload))


cpdef bytes encode_text_frame(text):
    """Return a server's frame with a text message. Raises `UnicodeEncodeError`."""
    cdef Py_ssize_t size
    if type(text) is str and PyUnicode_IS_ASCII(text):
        size = PyUnicode_GET_LENGTH(text)
        return framed(WHOLE_TEXT, <const char *>PyUnicode_DATA(text), size, size)
    return encode_frame(WHOLE_TEXT, text.encode())
