"""HTTP/2 (RFC 9113), on the library h2: streams, their scheduling, and limits of what a client may cost.

All of it runs on the connection's loop thread. `negotiation` finds out whether a new connection speaks HTTP/2. A
`connection` has a reader of frames (`frames`), the library's protocol state (`state_machine`), and a `stream` for each
exchange, which a `stream_manager` opens and ends; the `scheduler` decides which stream sends next. docs/internals.md
draws how they work together.
"""
