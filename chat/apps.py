"""The Django application."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from chat import checks


class ChatConfig(AppConfig):
    name = "chat"
    verbose_name = _("Chat")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        checks.register_all()
