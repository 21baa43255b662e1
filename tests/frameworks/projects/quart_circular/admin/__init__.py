"""A blueprint, with its errors."""

from quart import Blueprint

admin = Blueprint("admin", __name__)

from admin import views  # noqa: E402, F401
