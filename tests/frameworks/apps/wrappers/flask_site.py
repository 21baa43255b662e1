"""A Flask site, in what makes ASGI of WSGI and with Sentry."""

# mypy: ignore-errors
import hashlib
from pathlib import Path

from a2wsgi import WSGIMiddleware
from asgiref.wsgi import WsgiToAsgi
from flask import Flask, Response, request
from wrappers.endless import parts_of_a_thread

site = Flask(__name__, static_folder=Path(__file__).parents[1] / "static")


@site.get("/hello")
def hello():
    return {"hello": request.args["name"]}


@site.get("/stream")
def stream():
    return Response(parts_of_a_thread(), mimetype="text/plain")


@site.post("/upload")
def upload():
    return {"digest": hashlib.sha256(request.files["file"].read()).hexdigest()}


@site.get("/boom")
def boom():
    raise RuntimeError("the site has a mistake")


asgiref = WsgiToAsgi(site)
a2wsgi = WSGIMiddleware(site)


def sentry():
    """For WSGI."""
    from sentry_sdk.integrations.flask import FlaskIntegration
    from wrappers.reporting import report_errors

    report_errors(FlaskIntegration())
    return site
