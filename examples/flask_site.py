"""A Flask site: sessions, an upload, and a page that is sent as it is made.

    threadserve examples.flask_site:app
    curl -F file=@README.md http://127.0.0.1:8000/upload

That it is a WSGI application is found out; --interface wsgi says so. Its views run on a pool of threads, one request on
each, and on free-threaded Python at once. Set $SECRET_KEY, so that sessions outlive the process.
"""

import os
import secrets
from collections.abc import Iterator

from flask import Flask, request, session, stream_with_context

app = Flask(__name__)
app.secret_key = os.environ.get("SECRET_KEY") or secrets.token_hex()


@app.get("/")
def visits() -> str:
    """Counts a visitor's visits in the session."""
    session["visits"] = session.get("visits", 0) + 1
    return f"Visit {session['visits']}\n"


@app.post("/upload")
def upload() -> dict[str, object]:
    """Takes a file, which is read as it arrives."""
    file = request.files["file"]
    return {"name": file.filename, "bytes": sum(map(len, iter(lambda: file.stream.read(65536), b"")))}


@app.get("/countdown/<int:start>")
def countdown(start: int) -> Iterator[str]:
    """Sends each line when it is ready."""
    return stream_with_context(f"{number}\n" for number in range(start, 0, -1))
