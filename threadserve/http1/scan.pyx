"""The scan of a request's head: the whole strict grammar of RFC 9112, and the fields, in one pass over the bytes.

The compiled form of `scan.py`, with the same results byte for byte. A scanner belongs to one loop and runs on its
thread; what is shared here is written on import and then only read.

A loop over bytes ends at the NUL behind the last one, which every bytes object has and no table allows, if not before.
"""

import re
import sys

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp

from threadserve.http import grammar
from threadserve.http1 import framing

cdef enum:
    MOST_TEXTS = 64
    VERSION_SIZE = 11  # of b" HTTP/1.1\r\n"

cdef struct Text:
    const unsigned char *start
    Py_ssize_t size

# The bytes that a target and a value may have, and the lower case of each byte that a name may have, or 0.
cdef unsigned char target_bytes[256]
cdef unsigned char value_bytes[256]
cdef unsigned char name_bytes[256]

# These tuples own the bytes that the texts point to.
cdef tuple METHODS = tuple(grammar.METHODS)
cdef tuple CONTROL_FIELDS = tuple(framing.CONTROL_FIELDS)
cdef Py_ssize_t METHOD_COUNT = len(METHODS)
cdef Py_ssize_t CONTROL_COUNT = len(CONTROL_FIELDS)
cdef Py_ssize_t OPTIONS = METHODS.index(b"OPTIONS")
cdef Text methods[MOST_TEXTS]
cdef Text control_names[MOST_TEXTS]
cdef unsigned char begins_control[256]


cdef int fill_texts(tuple values, Text *texts) except -1:
    if len(values) > MOST_TEXTS:
        raise ValueError("too many texts")
    for i in range(len(values)):
        texts[i].start = <const unsigned char *>PyBytes_AS_STRING(values[i])
        texts[i].size = PyBytes_GET_SIZE(values[i])
    return 0


cdef int fill_tables() except -1:
    for i in range(256):
        text = bytes((i,))
        target_bytes[i] = re.fullmatch(grammar.TARGET_BYTE, text) is not None
        value_bytes[i] = re.fullmatch(grammar.VALUE_BYTE, text) is not None
        name_bytes[i] = text.lower()[0] if re.fullmatch(grammar.TOKEN, text) else 0
        begins_control[i] = any([name.startswith(text) for name in CONTROL_FIELDS])
    fill_texts(METHODS, methods)
    return fill_texts(CONTROL_FIELDS, control_names)


fill_tables()


cdef inline Py_ssize_t method_at(const unsigned char *begin, Py_ssize_t size) noexcept:
    """Return the index of the method that these bytes are, or -1."""
    cdef Py_ssize_t i
    for i in range(METHOD_COUNT):
        if methods[i].size == size and memcmp(methods[i].start, begin, size) == 0:
            return i
    return -1


cdef inline const unsigned char *target_end(const unsigned char *p, bint is_options) noexcept:
    """Return the end of the target that begins at `p`, or NULL."""
    if p[0] == c"*":
        return p + 1 if is_options else NULL
    if p[0] != c"/":
        if p[0] | 32 != c"h" or p[1] | 32 != c"t" or p[2] | 32 != c"t" or p[3] | 32 != c"p":
            return NULL
        p += 4
        if p[0] | 32 == c"s":
            p += 1
        if p[0] != c":" or p[1] != c"/" or p[2] != c"/" or not target_bytes[p[3]]:
            return NULL
        p += 3
    while target_bytes[p[0]]:
        p += 1
    return p


cdef inline bytes name_at(const unsigned char *begin, Py_ssize_t size):
    """Return these bytes of a name in lower case."""
    cdef bytes name = PyBytes_FromStringAndSize(NULL, size)
    cdef unsigned char *lower = <unsigned char *>PyBytes_AS_STRING(name)
    cdef Py_ssize_t i
    for i in range(size):
        lower[i] = name_bytes[begin[i]]
    return name


cdef inline bint is_control_field(bytes name) noexcept:
    cdef const unsigned char *begin = <const unsigned char *>PyBytes_AS_STRING(name)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(name)
    cdef Py_ssize_t i
    if begins_control[begin[0]]:
        for i in range(CONTROL_COUNT):
            if control_names[i].size == size and memcmp(control_names[i].start, begin, size) == 0:
                return True
    return False


cdef class HeadScanner:
    """Scans the heads of one loop's requests. Only the Python form needs the loop's number."""

    def __init__(self, number):
        self._methods = tuple([sys.intern(method.decode()) for method in METHODS])

    cpdef tuple scan(self, bytes data, Py_ssize_t position):
        """Scan the head at `position`: see the Python form."""
        cdef const unsigned char *start = <const unsigned char *>PyBytes_AS_STRING(data)
        cdef const unsigned char *stop = start + PyBytes_GET_SIZE(data)
        cdef const unsigned char *begin = start + position
        cdef const unsigned char *p = begin
        cdef const unsigned char *value
        cdef const unsigned char *line_end
        cdef Py_ssize_t method
        cdef bint is_http11
        cdef bytes target, name
        cdef list headers, control_fields
        cdef tuple field

        if not 0 <= position <= PyBytes_GET_SIZE(data):
            return None
        while name_bytes[p[0]]:
            p += 1
        method = method_at(begin, p - begin)
        if method < 0 or p[0] != c" ":
            return None
        begin = p + 1
        p = target_end(begin, method == OPTIONS)
        if p == NULL or stop - p < VERSION_SIZE or memcmp(p, b" HTTP/1.", VERSION_SIZE - 3) != 0:
            return None
        target = begin[:p - begin]
        is_http11 = p[8] == c"1"
        if not (is_http11 or p[8] == c"0") or p[9] != c"\r" or p[10] != c"\n":
            return None
        p += VERSION_SIZE

        headers = []
        control_fields = []
        while p[0] != c"\r":
            begin = p
            while name_bytes[p[0]]:
                p += 1
            if p == begin or p[0] != c":":
                return None
            name = name_at(begin, p - begin)
            p += 1
            while p[0] == c" " or p[0] == c"\t":
                p += 1
            value = p
            while value_bytes[p[0]]:
                p += 1
            if p[0] != c"\r" or p[1] != c"\n":
                return None
            line_end = p
            while line_end > value and (line_end[-1] == c" " or line_end[-1] == c"\t"):
                line_end -= 1
            field = (name, value[:line_end - value])
            headers.append(field)
            if is_control_field(name):
                control_fields.append(field)
            p += 2
        if p[1] != c"\n":
            return None
        return p + 2 - start, self._methods[method], target, is_http11, headers, control_fields
