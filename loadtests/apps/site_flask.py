"""The load-test site over WSGI, with Flask: a template, and a session that counts the visits.

What it answers with is in `loadtests/apps/catalogue.py`.
"""

from collections.abc import Callable
from typing import Any

from flask import Flask, Response, jsonify, request, session

from loadtests.apps import catalogue
from loadtests.apps.catalogue import Answer

app = Flask(__name__)
app.secret_key = catalogue.SECRET_KEY
template = app.jinja_env.from_string(catalogue.TEMPLATE)


def respond(answer: Answer) -> Response:
    if answer.media_type:
        return Response(answer.content, answer.status, answer.headers, mimetype=answer.media_type)
    response = jsonify(answer.content)
    response.status_code = answer.status
    return response


def endpoint(view: Callable[[dict[str, str]], Answer]) -> Callable[..., Response]:
    return lambda **places: respond(view({**request.args, **places}))


@app.get("/")
def home() -> str:
    session["visits"] = session.get("visits", 0) + 1
    return template.render(visits=session["visits"], items=catalogue.items_on(1))


@app.post("/api/orders")
def orders() -> Response:
    return respond(catalogue.ordered(request.get_data()))


@app.post("/upload")
def upload() -> dict[str, Any]:
    return {"bytes": sum(map(len, iter(lambda: request.stream.read(65536), b"")))}


for path, view in catalogue.VIEWS.items():
    app.add_url_rule(path.replace("{", "<").replace("}", ">"), path, endpoint(view))
