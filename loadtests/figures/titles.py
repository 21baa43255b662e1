"""The titles of all figures by their names, in the order of the table, and the groups that they belong to."""

HELLO_WSGI = "WSGI hello world, default loops and pool on free-threaded Python"

GROUPS: dict[str, dict[str, str]] = {
    # What a request and its response cost, against the fastest servers there are.
    "request-path": {
        "hello": "hello world, 1 thread on ordinary Python, no access log",
        "hello-threads": "hello world, 2 threads on free-threaded Python",
        "hello-cpu": "CPU time of a hello world, 1 thread on free-threaded Python",
        "hello-browser": "hello world to the 15 header fields of a browser, 2 threads on free-threaded Python",
        "hello-tls": "hello world over TLS, 2 threads on free-threaded Python",
        "fastapi": "FastAPI example with pydantic models, 2 threads on free-threaded Python",
        "parts": "a body of 50 parts of 10 kB, 2 threads on free-threaded Python",
        "post": "POST of 10 kB that is sent back, 1 thread on ordinary Python",
        "post-threads": "POST of 10 kB that is sent back, 2 threads on free-threaded Python",
        "connect-least-busy": "a new connection per request, least-busy, 2 threads on free-threaded Python",
        "connect-kernel": "a new connection per request, kernel, 2 threads on free-threaded Python",
        "ws-threads": "WebSocket echo of 100 bytes, 2 threads on free-threaded Python",
        "ws-large-threads": "WebSocket echo of 65 kB, 2 threads on free-threaded Python",
        "instructions": "a request and its response without sockets, free-threaded Python",
    },
    "http": {
        "access-log": "hello world, 1 thread on ordinary Python, access log to a file",
        "cpu": "CPU-bound handler (about 0.2 ms of pure Python), 2 threads on free-threaded Python against 1",
        "blocked-loop": "quick requests on new connections while one after another holds its loop for 0.5 s",
        "memory": "memory of the FastAPI example, 8 threads against 8 workers",
    },
    # Without TLS.
    "http2": {
        "http2-hello": "HTTP/2, hello world, 10 connections x 10 streams, 2 threads on free-threaded Python",
        "http2-one-connection": "HTTP/2, hello world, one connection x 100 streams",
        "http2-large": "HTTP/2, bodies of 2 MB, one connection x 50 streams",
    },
    "wsgi": {
        "wsgi-threads": HELLO_WSGI,
        "wsgi-threads-cpu": HELLO_WSGI,
        "wsgi-gunicorn": HELLO_WSGI,
        "wsgi-waitress": HELLO_WSGI,
        "wsgi-hello": "WSGI hello world, 1 thread on ordinary Python",
        "wsgi-flask": "Flask view that answers JSON, free-threaded Python against processes of ordinary Python",
        "wsgi-cpu": "CPU-bound WSGI view (about 0.2 ms of pure Python), default pool on free-threaded Python against 1",
        "wsgi-streaming": "200 MB streamed through a WSGI app on free-threaded Python: growth of memory",
    },
    "websockets": {
        "ws-echo": "WebSocket echo of 100 bytes, 1 thread on ordinary Python",
        "ws-echo-sansio": "WebSocket echo of 100 bytes, 1 thread on ordinary Python",
        "ws-large": "WebSocket echo of 65 kB, 1 thread on ordinary Python",
        "ws-large-websockets": "WebSocket echo of 65 kB, 1 thread on ordinary Python",
        "ws-idle": "memory of an idle WebSocket that is pinged, beyond an idle keep-alive connection",
    },
    # Between two requests the acceptor has the kept connections: with that, and without.
    "connections": {
        "kept-stall-2": "requests on kept connections while one after another holds its loop for 0.5 s, 2 threads",
        "kept-stall-4": "requests on kept connections while one after another holds its loop for 0.5 s, 4 threads",
        "kept-busy": "hello world on busy kept connections, 2 threads on free-threaded Python",
        "kept-paused": "hello world on 2,000 kept connections that pause for 1.5 s, 2 threads on free-threaded Python",
        "kept-idle-memory": "memory of idle kept connections, 2 threads on free-threaded Python",
        "kept-spread": "requests of the busiest of 4 threads, a few kept connections asking ten times as often",
    },
    # What the admin address costs, and how soon it answers.
    "operations": {
        "admin-busy": "hello world while the metrics are asked for once a second, 2 threads on free-threaded Python",
        "admin-blocked": "/livez and /readyz while 64 clients wait and both threads sleep on free-threaded Python",
        "admin-blocked-computing": (
            "/livez and /readyz while 64 clients wait and both threads compute on free-threaded Python"
        ),
        "admin-blocked-computing-gil": (
            "/livez and /readyz while 64 clients wait and both threads compute on ordinary Python"
        ),
        "admin-scrape": (
            "/metrics of 16 threads with 2,000 kept connections that pause for 1.5 s, on free-threaded Python"
        ),
    },
}
TITLES = {name: title for group in GROUPS.values() for name, title in group.items()}
