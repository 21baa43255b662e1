"""The pages, in Flask."""

from flask import Flask

site = Flask(__name__)

from pages import views  # noqa: E402, F401
