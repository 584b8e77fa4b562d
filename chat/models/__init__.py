"""The database's tables, a file each."""

from chat.models.api_key import ApiKey
from chat.models.client_thread import ClientThread
from chat.models.conversation import Conversation
from chat.models.feedback import Feedback
from chat.models.generation import Generation
from chat.models.idempotent_answer import IdempotentAnswer
from chat.models.message import Message
from chat.models.provider_switch import ProviderSwitch
from chat.models.search_entry import SearchEntry
from chat.models.user import User
from chat.models.webhook import Webhook, WebhookDelivery
from chat.models.worker import Worker

__all__ = [
    "ApiKey",
    "ClientThread",
    "Conversation",
    "Feedback",
    "Generation",
    "IdempotentAnswer",
    "Message",
    "ProviderSwitch",
    "SearchEntry",
    "User",
    "Webhook",
    "WebhookDelivery",
    "Worker",
]
