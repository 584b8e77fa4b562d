"""The admin: review of conversations, and accounts. What was said and done is read here, never changed."""

from chat.admin import conversations, generations, messages, users

__all__ = ["conversations", "generations", "messages", "users"]
