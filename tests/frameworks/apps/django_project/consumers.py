"""The project's WebSocket consumers: some asynchronous, one synchronous with the database."""

# mypy: disable-error-code="import-untyped,misc"
import json
from typing import Any
from urllib.parse import parse_qs

from channels.generic.websocket import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer, WebsocketConsumer
from django.contrib.auth import get_user_model


class Echo(AsyncWebsocketConsumer):
    """Sends back what it gets, with the name of the visitor."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        name = parse_qs(self.scope["query_string"].decode())["name"][0]
        if text_data == "bye":
            await self.close(4000, "goodbye")
        else:
            await self.send(f"{name}: {text_data}")


class Chat(AsyncJsonWebsocketConsumer):
    """Sends what one visitor of a room says to all of them."""

    async def connect(self) -> None:
        self.room = self.scope["url_route"]["kwargs"]["room"]
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.room, self.channel_name)

    async def receive_json(self, content: Any, **more: Any) -> None:
        await self.channel_layer.group_send(self.room, {"type": "chat.message", "text": content["text"]})

    async def chat_message(self, event: dict[str, Any]) -> None:
        await self.send_json({"text": event["text"]})


class WhoAmI(WebsocketConsumer):
    """Tells who is logged in, and how many users there are."""

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        users = get_user_model().objects.count()
        self.send(json.dumps({"user": self.scope["user"].get_username(), "users": users, "said": text_data}))
