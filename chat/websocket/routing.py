"""Where sockets lead."""

from django.urls import path

from chat.websocket.consumer import ChatConsumer

websocket_urlpatterns = [path("ws/chat/", ChatConsumer.as_asgi())]
