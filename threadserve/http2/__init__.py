"""HTTP/2 (RFC 9113), by the library h2: its streams, their fairness, and what a client may cost.

All of it runs on the connection's loop thread. `choosing` is the door: it finds out whether a new connection speaks
HTTP/2. A `connection` has a reader of frames (`frames`), the library's state (`state`) and a `stream` for each
exchange; `sending` decides which stream sends next. docs/internals.md draws how they work together.
"""
