"""The application, whose routes import it: the layout of Flask's and Quart's documentation."""

import secrets
import threading

from quart import Quart, Response

app = Quart(__name__)
app.secret_key = "not secret"
instance = secrets.token_hex()


@app.after_request
async def who_answers(response: Response) -> Response:
    response.headers["x-thread"] = threading.current_thread().name
    response.headers["x-instance"] = instance
    return response


import routes  # noqa: E402, F401
from admin import admin  # noqa: E402

app.register_blueprint(admin, url_prefix="/admin")
