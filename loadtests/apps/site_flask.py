"""The load-test site over WSGI, with Flask: a template, a session that counts the visits, items and orders.

What it answers with is in `loadtests/apps/catalogue.py`.
"""

from flask import Flask, Response, jsonify, request, session

from loadtests.apps import catalogue

app = Flask(__name__)
app.secret_key = catalogue.SECRET_KEY
template = app.jinja_env.from_string(catalogue.TEMPLATE)


@app.get("/")
def home() -> str:
    session["visits"] = session.get("visits", 0) + 1
    return template.render(visits=session["visits"], items=catalogue.items_on(1))


@app.get("/api/items")
def items() -> Response:
    return jsonify(catalogue.items_on(int(request.args["page"])))


@app.get("/api/items/<int:number>")
def item(number: int) -> Response:
    return jsonify(catalogue.ITEMS_BY_ID[number])


@app.post("/api/orders")
def orders() -> Response:
    return jsonify(catalogue.ordered(request.get_json()))
