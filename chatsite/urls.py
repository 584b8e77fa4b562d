"""Where each path leads."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from chat.api.router import api
from chat.dialects.openai_api import openai
from chat.pages import operations
from chat.pages.metrics import metrics
from chat.pages.stream_probe import stream_probe

urlpatterns = [
    path("", include("chat.pages.urls")),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
    path("api/", api.urls),
    path("v1/", openai.urls),
    path("api.json", RedirectView.as_view(url="/api/openapi.json")),
    path("swagger/", RedirectView.as_view(url="/api/docs")),
    path("healthz", operations.healthz),
    path("healthz/stream", stream_probe),
    path("readyz", operations.readyz),
    path("metrics", metrics),
]
