"""A Flask view that answers with a small JSON document."""

from flask import Flask, Response, jsonify

app = Flask(__name__)


@app.get("/")
def order() -> Response:
    lines = [{"product": f"lamp {number}", "price": 20.5, "quantity": number} for number in range(1, 6)]
    return jsonify(customer="Ada", lines=lines, total=len(lines))
