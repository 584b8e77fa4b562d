"""Webhooks, as their owner makes, sees and deletes them, and what has become of their deliveries."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from chat.engine.terminal import timestamp
from chat.errors import Conflict, InvalidRequest, NotFound
from chat.models import User, Webhook, WebhookDelivery
from chat.models.webhook import URL_CHARS, DeliveryState
from chat.services.access import parse_id
from chat.services.database import Database
from chat.services.records import Page
from chat.services.requests import check_text
from chat.services.webhook_addresses import Destinations
from chat.services.webhook_events import EVENTS
from chat.services.webhook_signing import new_secret

Row = TypeVar("Row", Webhook, WebhookDelivery)


@dataclass(frozen=True, slots=True)
class WebhookRecord:
    id: str
    url: str
    events: list[str]
    created_at: str


@dataclass(frozen=True, slots=True)
class NewWebhook(WebhookRecord):
    """`secret`: signs what is sent; it is shown only now."""

    secret: str


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """`state`: waiting, delivered or given_up; `status`: of the last answer; `error`: why the last attempt has failed,
    STATUS, TIMEOUT, UNREACHABLE or ADDRESS_REFUSED, or why there was none, GENERATION_DELETED, ACCOUNT_INACTIVE or
    INTERRUPTED; `due_at`: the next attempt, null behind the last."""

    id: str
    event: str
    generation: str
    state: str
    attempts: int
    status: int | None
    error: str | None
    due_at: str | None
    created_at: str
    finished_at: str | None


class Webhooks:
    """`most`: of one user; None for any number."""

    def __init__(self, database: Database, destinations: Destinations, most: int | None) -> None:
        self._database = database
        self._destinations = destinations
        self._most = most

    async def create(self, user: uuid.UUID, url: str, events: Sequence[str] | None) -> NewWebhook:
        """Without `events`, for all. Raises InvalidRequest, TooLarge; Forbidden where there are no webhooks; Conflict
        where the user has as many as there may be; NotFound for an account that has gone meanwhile."""
        destination = self._destinations.check(check_text(url, "url", URL_CHARS))
        if events is not None and not events:
            raise InvalidRequest(
                _("Name at least one event, or none at all for every one."), {"field": "events"}, status=422
            )
        await self._destinations.check_now(destination)
        chosen = sorted(set(events or EVENTS))
        row = await self._database.write(_create, user, url, chosen, new_secret(), self._most)
        return NewWebhook(*_fields(row), row.secret)

    async def page(self, user: uuid.UUID, cursor: str | None, limit: int) -> Page:
        """Newest first, without their secrets."""
        return await self._database.read(_page, user, cursor, limit)

    async def delete(self, user: uuid.UUID, webhook: str) -> None:
        """It is told nothing more. Raises NotFound."""
        await self._database.write(_delete, user, webhook)

    async def deliveries(self, user: uuid.UUID, webhook: str, cursor: str | None, limit: int) -> Page:
        """Newest first. Raises NotFound."""
        return await self._database.read(_deliveries, user, webhook, cursor, limit)


def _create(user: uuid.UUID, url: str, events: list[str], secret: str, most: int | None) -> Webhook:
    # The lock, where the database has one: of two who create the last at once, the second finds it created.
    if not User.objects.select_for_update().filter(pk=user).exists():
        raise NotFound(_("This account does not exist."))
    if most is not None and Webhook.objects.filter(user_id=user).count() >= most:
        words = _("There are %(most)d webhooks, as many as there may be. Delete one that is not needed.")
        raise Conflict(words % {"most": most}, {"limit": most})
    return Webhook.objects.create(user_id=user, url=url, events=events, secret=secret)


def _get(user: uuid.UUID, webhook: str, among: QuerySet[Webhook] | None = None) -> Webhook:
    try:
        return (Webhook.objects.all() if among is None else among).get(id=parse_id(webhook), user_id=user)
    except Webhook.DoesNotExist:
        raise NotFound(_("This webhook does not exist.")) from None


def _page(user: uuid.UUID, cursor: str | None, limit: int) -> Page:
    rows, following = _newest(Webhook.objects.filter(user_id=user), cursor, limit)
    return Page([WebhookRecord(*_fields(row)) for row in rows], following)


def _delete(user: uuid.UUID, webhook: str) -> None:
    """Behind whoever is just adding a delivery: the lock, where the database has one."""
    _get(user, webhook, Webhook.objects.select_for_update()).delete()


def _deliveries(user: uuid.UUID, webhook: str, cursor: str | None, limit: int) -> Page:
    rows, following = _newest(WebhookDelivery.objects.filter(webhook=_get(user, webhook)), cursor, limit)
    return Page([_delivery_record(row) for row in rows], following)


def _newest(rows: QuerySet[Row], cursor: str | None, limit: int) -> tuple[list[Row], str | None]:
    """A page of them, and the cursor of the next: ids begin with the time at which they were made."""
    if cursor is not None:
        try:
            rows = rows.filter(id__lt=uuid.UUID(cursor))
        except ValueError:
            raise InvalidRequest(
                _("This cursor is not one of ours. Begin again without it."), {"field": "cursor"}
            ) from None
    found = list(rows.order_by("-id")[: limit + 1])
    return found[:limit], str(found[limit - 1].pk) if len(found) > limit else None


def _fields(row: Webhook) -> tuple[str, str, list[str], str]:
    return str(row.id), row.url, row.events, timestamp(row.created_at)


def _delivery_record(row: WebhookDelivery) -> DeliveryRecord:
    return DeliveryRecord(
        str(row.id),
        row.event,
        str(row.generation),
        row.state,
        row.attempts,
        row.status_code,
        row.error or None,
        timestamp(row.due_at) if row.state == DeliveryState.WAITING else None,
        timestamp(row.created_at),
        None if row.finished_at is None else timestamp(row.finished_at),
    )
