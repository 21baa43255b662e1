"""FastAPI, with a site of Flask's in three middlewares."""

import secrets
import threading

from a2wsgi import WSGIMiddleware
from asgiref.wsgi import WsgiToAsgi
from fastapi import FastAPI, Response
from pages import site

from threadserve import wsgi

app = FastAPI()
app.mount("/a2wsgi", WSGIMiddleware(site))
app.mount("/asgiref", WsgiToAsgi(site))
app.mount("/ours", wsgi.WSGIMiddleware(site, threads=1))
instance = secrets.token_hex()


@app.get("/")
async def page(response: Response) -> str:
    response.headers.update({"x-thread": threading.current_thread().name, "x-instance": instance})
    return "a page"
