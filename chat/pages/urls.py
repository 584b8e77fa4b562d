"""Where the browser's pages are."""

from django.urls import path

from chat.pages import views

urlpatterns = [
    path("", views.chat, name="chat"),
    path("c/<uuid:conversation>", views.chat, name="conversation"),
]
