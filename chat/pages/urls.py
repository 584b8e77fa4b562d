"""Where the browser's pages are."""

from django.urls import path

from chat.pages import views
from chat.pages.sign_out_everywhere import sign_out_everywhere

urlpatterns = [
    path("", views.chat, name="chat"),
    path("sign-out-everywhere/", sign_out_everywhere, name="sign_out_everywhere"),
    path("c/<uuid:conversation>", views.chat, name="conversation"),
]
