"""The comparison: a relay as one would write it with Channels, every frame through the channel layer
(`channels_redis.core.RedisChannelLayer`). One process on the same uvicorn and WebSocket protocol as
the real relay; no licences, no sessions, no limits, so that only the forwarding differs.

    python -m bench.channel_layer_relay --port 8002 --redis redis://127.0.0.1:6379
"""

from __future__ import annotations

import argparse
from typing import Any

import uvicorn
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.urls import path

from relay.wire import frames
from relay.wire.frames import ChannelOpen, Connect, ConnectAck, FrameType, Register, RegisterAck


class Instance(AsyncWebsocketConsumer):  # type: ignore[misc]
    live: dict[str, Instance] = {}

    async def connect(self) -> None:
        self.apps: dict[int, str] = {}  # channel -> the app's name in the channel layer
        self.id = ""
        await self.accept()

    async def receive(self, text_data: str | None = None, bytes_data: bytes = b"") -> None:
        kind, channel = frames.peek(bytes_data)
        if kind is FrameType.REGISTER:
            self.id = frames.parse(Register, bytes_data[6:]).license_token
            self.live[self.id] = self
            await self.send(bytes_data=frames.message(RegisterAck(self.id, "session", 0)))
        elif kind is FrameType.CHANNEL_OPEN:
            await self.to_app(channel, frames.message(ConnectAck(channel, self.id)))
        else:
            await self.to_app(channel, bytes_data)

    async def to_app(self, channel: int, frame: bytes) -> None:
        await self.channel_layer.send(self.apps[channel], {"type": "frame", "frame": frame})

    async def frame(self, event: dict[str, Any]) -> None:
        await self.send(bytes_data=event["frame"])

    async def disconnect(self, code: int) -> None:
        self.live.pop(self.id, None)


class App(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def receive(self, text_data: str | None = None, bytes_data: bytes = b"") -> None:
        if frames.peek(bytes_data)[0] is FrameType.CONNECT:
            connect = frames.parse(Connect, bytes_data[6:])
            instance = Instance.live[connect.instance_id]
            self.instance = instance.channel_name
            channel = len(instance.apps) + 1
            instance.apps[channel] = self.channel_name
            bytes_data = frames.message(ChannelOpen(channel, connect.auth_token))
        await self.channel_layer.send(self.instance, {"type": "frame", "frame": bytes_data})

    async def frame(self, event: dict[str, Any]) -> None:
        await self.send(bytes_data=event["frame"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--redis", required=True, help="address of a Redis or Valkey server")
    options = parser.parse_args()
    # redis-py 8 gives up reading after 5 s, as long as the layer's own blocking read lasts.
    host = {"address": options.redis, "socket_timeout": None}
    layer = {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [host]}}
    settings.configure(CHANNEL_LAYERS={"default": layer})
    routes = [path("ws/instance", Instance.as_asgi()), path("ws/app", App.as_asgi())]
    uvicorn.run(
        ProtocolTypeRouter({"websocket": URLRouter(routes)}),
        port=options.port,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_max_size=frames.MAX_MESSAGE,
        lifespan="off",
        log_level="warning",
    )


if __name__ == "__main__":
    main()
