"""The Socket.IO server, which the events' modules import."""

import secrets

import socketio

sio = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*")
instance = secrets.token_hex()
