"""threadserve: an ASGI server for free-threaded Python."""
