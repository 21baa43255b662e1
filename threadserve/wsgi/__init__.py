"""WSGI applications, called on a pool of threads: for this server's connections, or as an ASGI application."""

from threadserve.wsgi.middleware import WSGIMiddleware

__all__ = ["WSGIMiddleware"]
