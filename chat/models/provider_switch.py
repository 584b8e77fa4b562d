"""The providers that staff have switched off: a row each, while they are."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from chat.providers.providers_file import PROVIDER_CHARS


class ProviderSwitch(models.Model):
    """`provider` need not be declared at the moment: the switch outlives a change of the providers file."""

    provider = models.CharField(_("provider"), primary_key=True, max_length=PROVIDER_CHARS)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+", verbose_name=_("switched by")
    )
    at = models.DateTimeField(_("switched at"), auto_now_add=True)

    class Meta:
        verbose_name = _("switched-off provider")
        verbose_name_plural = _("switched-off providers")

    def __str__(self) -> str:
        return self.provider
