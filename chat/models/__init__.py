"""The database's tables, a file each."""

from chat.models.conversation import Conversation
from chat.models.generation import Generation
from chat.models.message import Message
from chat.models.provider_switch import ProviderSwitch
from chat.models.user import User
from chat.models.worker import Worker

__all__ = ["Conversation", "Generation", "Message", "ProviderSwitch", "User", "Worker"]
