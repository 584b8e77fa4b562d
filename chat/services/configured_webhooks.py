"""The webhooks of the settings."""

from __future__ import annotations

from django.conf import settings

from chat.services.database import Database
from chat.services.webhook_addresses import Destinations
from chat.services.webhook_delivery import WebhookDeliveries
from chat.services.webhook_request import WebhookRequests
from chat.services.webhooks import Webhooks


def configured(database: Database) -> tuple[Webhooks, WebhookDeliveries | None]:
    """What users do with them, and what sends them: None where the operator has listed no hosts. Raises ValueError for
    a list that cannot be read."""
    destinations = Destinations(settings.CHAT_WEBHOOK_HOSTS)
    webhooks = Webhooks(database, destinations, settings.CHAT_WEBHOOKS_PER_USER)
    if not destinations.any:
        return webhooks, None
    return webhooks, WebhookDeliveries(
        database=database,
        requests=WebhookRequests(destinations, settings.CHAT_WEBHOOK_SECONDS),
        retry_seconds=settings.CHAT_WEBHOOK_RETRY_SECONDS,
        at_once=settings.CHAT_WEBHOOKS_AT_ONCE,
        keep_seconds=settings.CHAT_WEBHOOK_KEEP_SECONDS,
    )
